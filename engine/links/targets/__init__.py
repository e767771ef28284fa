"""Targets of links, beyond the rules of every URL: those of programs, and blocked ones."""
