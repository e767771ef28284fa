"""How far counting has come, kept in memory: what a poll of the statistics is answered by when nothing is new.

Somebody who asks makes it look four times a second for a minute; nobody asking, it rests. What it says is never
newer than the counts that are read after it, so no answer that is tagged with it is taken for a later one.
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.operations.metrics import Metric, Sample

POLL_S: Final = 0.25
REST_AFTER_S: Final = 60.0
MAX_AGE_S: Final = 2.0
WAIT_S: Final = 1.0

VERSION_READS: Final = Metric(
    "waypost_stats_version_reads_total", "Reads of the stats version from Postgres"
)
VERSION_FAILURES: Final = Metric(
    "waypost_stats_version_failures_total", "Reads of the stats version that failed"
)


class StatsVersionCache:
    """`read` gives a text that is another one after each commit. Run it under a supervisor."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._value = ""
        self._read_at = -inf
        self._asked_at = -inf
        self._asked = trio.Event()
        self._looked = trio.Event()
        self.reads = 0
        self.failures = 0

    async def current(self) -> str | None:
        """The text, not older than MAX_AGE_S; None when nobody can tell within WAIT_S."""
        now = trio.current_time()
        self._asked_at = now
        self._asked.set()
        if now - self._read_at <= MAX_AGE_S:
            return self._value
        with trio.move_on_after(WAIT_S):
            await self._looked.wait()
            return self._value
        return None

    async def run(self) -> None:
        while True:
            if trio.current_time() - self._asked_at > REST_AFTER_S:
                self._asked = trio.Event()
                await self._asked.wait()
            started = trio.current_time()
            try:
                self._value = await self._read()
                self._read_at = started
                self.reads += 1
                self._looked.set()
                self._looked = trio.Event()
            except WaypostError:
                self.failures += 1
            await trio.sleep(POLL_S)

    def samples(self) -> list[Sample]:
        return [VERSION_READS.sample(self.reads), VERSION_FAILURES.sample(self.failures)]
