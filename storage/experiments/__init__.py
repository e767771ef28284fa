"""Experiments, conversions and their counts in Postgres."""
