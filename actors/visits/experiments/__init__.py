"""Experiments at an edge: variants of links and pages, and of pages elsewhere."""
