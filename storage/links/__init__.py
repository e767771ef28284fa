"""Profiles, links and their health in Postgres."""
