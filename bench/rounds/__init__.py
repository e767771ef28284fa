"""Rounds of servers under one load: what takes part, what is sent, and how they compare."""
