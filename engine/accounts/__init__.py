"""Users, API keys, members, and the actions that each may take."""
