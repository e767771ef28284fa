"""Stats queries, and how visitors' counts are kept."""
