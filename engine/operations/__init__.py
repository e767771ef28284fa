"""Settings, health, metrics, logs and the tree of actors."""
