"""Real servers to be started, killed and restarted: a Redis Cluster, a pair of Postgres, a pooler."""
