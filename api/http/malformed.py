"""Malformed requests to the console: a counter, and a warning that a flood of them cannot flood."""

import logging
import time
from collections.abc import Callable
from typing import Final

from engine.operations.metrics import Metric, Sample

WARNING_INTERVAL_S: Final = 1.0

MALFORMED: Final = Metric(
    "waypost_console_malformed_total",
    "Requests to the console that were refused because they were not well-formed HTTP/1.1",
)

logger = logging.getLogger("waypost.api")


class MalformedRequests:
    """Counter of malformed requests, with at most one warning per WARNING_INTERVAL_S. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_warning = clock()
        self._warned = 0
        self.requests = 0

    def count(self, reason: str) -> None:
        """Count one request. `reason` holds nothing of what the client sent."""
        self.requests += 1
        now = self._clock()
        if now >= self._next_warning:
            self._next_warning = now + WARNING_INTERVAL_S
            logger.warning(
                "malformed request, the connection is closed: %s (%d since the last warning)",
                reason,
                self.requests - self._warned,
                extra={"event": "console_malformed_request"},
            )
            self._warned = self.requests

    def samples(self) -> list[Sample]:
        return [MALFORMED.sample(self.requests)]
