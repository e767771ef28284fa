"""Imports of links into Postgres, and their files until they are done."""
