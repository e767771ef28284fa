"""The stats version in memory, by which a poll of stats without new counts is answered.

For a minute after each request, the version is read four times per second; without requests, it is not
read. It is never newer than counts that are read after it, so a response is never tagged with the version
of later counts.
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.operations.metrics import Metric, Sample

POLL_S: Final = 0.25
IDLE_AFTER_S: Final = 60.0
MAX_AGE_S: Final = 2.0
WAIT_S: Final = 1.0

VERSION_READS: Final = Metric(
    "waypost_stats_version_reads_total", "Reads of the stats version from Postgres"
)
VERSION_FAILURES: Final = Metric(
    "waypost_stats_version_failures_total", "Reads of the stats version that failed"
)


class StatsVersionCache:
    """A cache of the stats version. `read` returns the version. Run it under a supervisor."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._value = ""
        self._read_at = -inf
        self._requested_at = -inf
        self._requested = trio.Event()
        self._was_read = trio.Event()
        self.reads = 0
        self.failures = 0

    async def current(self) -> str | None:
        """Return the version, read at most MAX_AGE_S ago, or None if it cannot be read within WAIT_S."""
        now = trio.current_time()
        self._requested_at = now
        self._requested.set()
        if now - self._read_at <= MAX_AGE_S:
            return self._value
        with trio.move_on_after(WAIT_S):
            await self._was_read.wait()
            return self._value
        return None

    async def run(self) -> None:
        while True:
            if trio.current_time() - self._requested_at > IDLE_AFTER_S:
                self._requested = trio.Event()
                await self._requested.wait()
            started = trio.current_time()
            try:
                self._value = await self._read()
                self._read_at = started
                self.reads += 1
                self._was_read.set()
                self._was_read = trio.Event()
            except WaypostError:
                self.failures += 1
            await trio.sleep(POLL_S)

    def samples(self) -> list[Sample]:
        return [VERSION_READS.sample(self.reads), VERSION_FAILURES.sample(self.failures)]
