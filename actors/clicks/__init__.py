"""Journals shipped to Redis and folded into Postgres."""
