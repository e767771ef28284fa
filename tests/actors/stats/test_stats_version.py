"""The stats version in memory: fresh while it is requested, otherwise not read, None if it cannot be read."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors.stats import stats_version
from actors.stats.stats_version import IDLE_AFTER_S, MAX_AGE_S, POLL_S, StatsVersionCache
from engine.common.errors import UnavailableError
from engine.stats.ports import ProfileKey

PROFILE = ProfileKey(1, 2)


class Counts:
    """Stored counts with a version; `away`: they cannot be read."""

    def __init__(self) -> None:
        self.value = "1"
        self.away = False
        self.reads = self.profiles = 0

    async def read(self, profiles: Sequence[ProfileKey]) -> dict[ProfileKey, str]:
        self.reads += 1
        self.profiles = len(profiles)
        await trio.sleep(0.01)
        if self.away:
            raise UnavailableError("away")
        return dict.fromkeys(profiles, self.value)


async def test_the_version_follows_the_counts_while_it_is_requested(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    nursery.start_soon(cache.run)
    await trio.sleep(10)
    assert counts.reads == 0
    assert await cache.current([PROFILE]) == "1"
    counts.value = "2"
    await trio.sleep(2 * POLL_S)
    assert await cache.current([PROFILE]) == "2"
    await trio.sleep(IDLE_AFTER_S + 1)
    reads_when_idle = counts.reads
    await trio.sleep(100)
    assert counts.reads == reads_when_idle
    counts.value = "3"
    assert await cache.current([PROFILE]) == "3"


async def test_an_old_version_is_not_returned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    nursery.start_soon(cache.run)
    assert await cache.current([PROFILE]) == "1"
    counts.away = True
    await trio.sleep(MAX_AGE_S / 2)
    assert await cache.current([PROFILE]) == "1"
    await trio.sleep(MAX_AGE_S)
    assert await cache.current([PROFILE]) is None
    assert cache.failures > 0
    counts.away = False
    assert await cache.current([PROFILE]) == "1"


async def test_many_profiles_are_read_together_and_less_often(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    nursery.start_soon(cache.run)
    async with trio.open_nursery() as asking:
        for number in range(1_000):
            asking.start_soon(cache.current, [ProfileKey(1, number)])
    assert counts.reads <= 2
    reads = counts.reads
    await trio.sleep(10)
    assert 9 <= counts.reads - reads <= 11
    assert counts.profiles == 1_000
    started = trio.current_time()
    assert await cache.current([ProfileKey(2, 1)]) == "1"
    assert trio.current_time() - started < 0.1
    assert [sample.value for sample in cache.samples()] == [counts.reads, 0, 1]


async def test_a_profile_that_is_evicted_while_it_waits_has_no_version(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_version, "MAX_PROFILES", 2)
    counts = Counts()
    cache = StatsVersionCache(counts.read)
    versions = []

    async def ask(number: int) -> None:
        versions.append(await cache.current([ProfileKey(1, number)]))

    async with trio.open_nursery() as asking:
        for number in range(3):
            asking.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(cache.run)
    assert sorted(versions, key=str) == ["1", "1", None]
