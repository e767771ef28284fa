"""Endpoints of assets."""
