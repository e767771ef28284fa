"""Erasure and archive of profiles."""
