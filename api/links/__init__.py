"""Endpoints of profiles and links."""
