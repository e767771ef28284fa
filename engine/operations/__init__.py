"""Settings, health, metrics, logs, and the processes' trees of actors."""
