"""Spellings of slugs, and which of them a domain allows."""
