"""GitHub repositories of links, their synchronisation, and the conversation with GitHub's API."""
