"""Readings of visitors' paths."""
