"""The watermark in memory: fresh while somebody asks, at rest otherwise, silent when nobody can tell."""

import trio
from trio.testing import MockClock

from actors.stats.stats_version import IDLE_AFTER_S, MAX_AGE_S, POLL_S, StatsVersionCache
from engine.common.errors import UnavailableError


class Counts:
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


async def test_it_follows_the_counts_while_somebody_asks(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    mark = StatsVersionCache(counts.read)
    nursery.start_soon(mark.run)
    await trio.sleep(10)
    assert counts.reads == 0
    assert await mark.current() == "1"
    counts.value = "2"
    await trio.sleep(2 * POLL_S)
    assert await mark.current() == "2"
    await trio.sleep(IDLE_AFTER_S + 1)
    read = counts.reads
    await trio.sleep(100)
    assert counts.reads == read
    counts.value = "3"
    assert await mark.current() == "3"


async def test_what_is_too_old_is_not_told(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    mark = StatsVersionCache(counts.read)
    nursery.start_soon(mark.run)
    assert await mark.current() == "1"
    counts.away = True
    await trio.sleep(MAX_AGE_S / 2)
    assert await mark.current() == "1"
    await trio.sleep(MAX_AGE_S)
    assert await mark.current() is None
    assert mark.failures > 0
    counts.away = False
    assert await mark.current() == "1"
