"""Statuses of processes, and the inspection of servers by `doctor`."""
