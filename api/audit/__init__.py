"""Endpoints of the log of changes and security events."""
