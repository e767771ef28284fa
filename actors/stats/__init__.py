"""Settling of deltas, live updates and the version of all counts."""
