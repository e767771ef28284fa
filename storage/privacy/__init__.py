"""Erasure and archive of profiles in Postgres."""
