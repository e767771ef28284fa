"""Endpoints of statistics, export and live updates."""
