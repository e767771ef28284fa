"""Things that members keep for dashboards: shares of statistics."""
