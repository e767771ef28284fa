"""Synchronisation of links' repositories."""
