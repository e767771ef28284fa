"""Actors of assets: uploads on their way, files that visitors ask for, and the collector."""
