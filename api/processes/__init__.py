"""Composition of each process: the top room, which imports all others."""
