"""Abuse: quarantines, and reports of links by visitors."""
