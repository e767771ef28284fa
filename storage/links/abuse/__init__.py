"""Abuse in storage: blocklists, the target policy in use, and reports of links."""
