"""Checks of links' targets."""
