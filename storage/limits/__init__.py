"""Rate limits in Redis."""
