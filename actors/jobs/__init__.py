"""Workers, periodic jobs and gauges of the queue."""
