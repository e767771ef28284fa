"""GitHub's API over HTTP, and synchronisations in Postgres."""
