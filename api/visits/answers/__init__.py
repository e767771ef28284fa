"""Answers of the visitor server by host, and to paths that are looked up."""
