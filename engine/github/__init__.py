"""Repositories of links, and the conversation with GitHub's API."""
