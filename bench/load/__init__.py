"""Engines, load generators and faults."""
