"""Questions about visitors' counts, and how counts are kept."""
