"""Outgoing requests, to the public internet only."""
