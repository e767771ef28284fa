"""Real servers: a Redis Cluster, a pair of Postgres, a pooler, and those that Waypost is measured beside."""
