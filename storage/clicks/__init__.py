"""Journals on disk, their Redis streams, and the ledger in Postgres."""
