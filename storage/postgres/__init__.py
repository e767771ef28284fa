"""The database, its named queries and idempotency keys."""
