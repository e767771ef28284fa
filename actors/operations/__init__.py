"""The runtime, supervisors and the launcher of processes."""
