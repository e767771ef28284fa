"""Endpoints of profiles' pages."""
