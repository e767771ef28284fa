"""Actors of pages."""
