"""Security events on their way to the log."""
