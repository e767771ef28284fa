"""The log of changes and security events: their entries and hash chain."""
