"""The room of what lives: trio tasks with mailboxes under supervisors. They reach storage through ports."""
