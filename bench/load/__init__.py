"""Engines, load generators, peers and faults."""
