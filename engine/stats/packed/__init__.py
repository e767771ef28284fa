"""Packed clicks: their format, how they are made, and how questions are answered from them."""
