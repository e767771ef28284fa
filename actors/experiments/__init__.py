"""Running experiments: alarms, ends and weights."""
