"""Endpoints of experiments, their results and conversions."""
