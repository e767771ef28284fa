"""Endpoints of users, sessions, keys, members and invitations."""
