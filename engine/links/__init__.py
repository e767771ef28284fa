"""Profiles, links, their names, targets and health."""
