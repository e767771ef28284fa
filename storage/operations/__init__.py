"""Processes' status, and what `doctor` inspects."""
