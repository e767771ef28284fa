"""Jobs, their states and their schedules."""
