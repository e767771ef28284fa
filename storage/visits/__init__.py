"""Sources of edges: snapshots, paths, places, daily keys."""
