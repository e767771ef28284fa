"""Things that members keep for dashboards: shares of statistics, annotations and saved questions."""
