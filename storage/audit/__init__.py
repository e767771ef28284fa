"""The log of changes and security events in Postgres."""
