"""What a benchmark says when it cannot run."""

from engine.common.errors import WaypostError


class BenchError(WaypostError):
    """One line for a person, with what to do; the command line exits 2."""
