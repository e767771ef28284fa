"""Things that members keep for dashboards: shares of statistics; in Postgres and in memory."""
