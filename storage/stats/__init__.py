"""Counts of visitors in Postgres: stats queries, compaction, rebuilding."""
