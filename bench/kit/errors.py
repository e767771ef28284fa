"""The error of a benchmark that cannot run."""

from engine.common.errors import WaypostError


class BenchError(WaypostError):
    """Error with a one-line text that says what to do; the command line exits 2."""
