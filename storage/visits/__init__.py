"""What edges read: snapshots, paths, places, daily keys."""
