"""Endpoints of erasure and archive."""
