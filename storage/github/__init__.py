"""GitHub's API, and synchronisations in Postgres."""
