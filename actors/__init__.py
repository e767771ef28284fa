"""What lives: trio tasks with mailboxes under supervisors. Storage is reached through engine.links.ports."""
