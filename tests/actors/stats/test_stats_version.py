"""The stats version in memory: fresh while it is requested, otherwise not read, None if it cannot be read."""

import trio
from trio.testing import MockClock

from actors.stats.stats_version import IDLE_AFTER_S, MAX_AGE_S, POLL_S, StatsVersionCache
from engine.common.errors import UnavailableError


class Counts:
    """Stored counts with a version; `away`: they cannot be read."""

    def __init__(self) -> None:
        self.value = "1"
        self.away = False
        self.reads = 0

    async def read(self) -> str:
        self.reads += 1
        await trio.sleep(0.01)
        if self.away:
            raise UnavailableError("away")
        return self.value


async def test_the_version_follows_the_counts_while_it_is_requested(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    nursery.start_soon(cache.run)
    await trio.sleep(10)
    assert counts.reads == 0
    assert await cache.current() == "1"
    counts.value = "2"
    await trio.sleep(2 * POLL_S)
    assert await cache.current() == "2"
    await trio.sleep(IDLE_AFTER_S + 1)
    reads_when_idle = counts.reads
    await trio.sleep(100)
    assert counts.reads == reads_when_idle
    counts.value = "3"
    assert await cache.current() == "3"


async def test_an_old_version_is_not_returned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    nursery.start_soon(cache.run)
    assert await cache.current() == "1"
    counts.away = True
    await trio.sleep(MAX_AGE_S / 2)
    assert await cache.current() == "1"
    await trio.sleep(MAX_AGE_S)
    assert await cache.current() is None
    assert cache.failures > 0
    counts.away = False
    assert await cache.current() == "1"
