"""Endpoints of links' synchronisation with GitHub."""
