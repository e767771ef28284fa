"""Counts of visitors in Postgres: questions, compaction, rebuild."""
