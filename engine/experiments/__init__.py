"""Experiments: definition, assignment, automation and results."""
