"""Profiles and links: their names, targets, health and imports."""
