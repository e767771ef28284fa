"""Values of a stats query's parameters."""
