"""Counts by dimension, live updates and the version of all counts."""
