"""Users, sessions, API keys, members and invitations in Postgres."""
