"""Requests of shops: their bodies, signatures and reports, and one module for each known shop."""
