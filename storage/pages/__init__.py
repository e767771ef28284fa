"""Profiles' pages in Postgres: drafts, published versions, and addresses that visitors left in their forms."""
