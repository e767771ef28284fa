"""Edges agree on a daily key: at one moment, apart and together again, over midnight and restarts."""

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors.visits.daily_keys import GREET_S, SETTLE_S, TICK_S, DailyKeys
from engine.visits.daily_key import (
    DAY_US,
    PREPARE_US,
    DailyKey,
    KeyAnnouncement,
    pack_greeting,
    pack_keys,
)
from storage.visits.memory_daily_keys import MemoryKeyStore
from storage.visits.memory_edge_channel import MemoryEdgeBroker, MemoryEdgeChannel

DAY = 20_000
IDENTITY = b"profile, network and agent"


class Edges:
    """Edges on machines that share a server; wall clocks may differ."""

    def __init__(self, seed: int = 0) -> None:
        self.server = MemoryEdgeBroker()
        self.dice = random.Random(seed)
        self.noon_us = DAY * DAY_US + DAY_US // 2
        self.running: list[DailyKeys] = []

    @asynccontextmanager
    async def edge(
        self, store: MemoryKeyStore | None = None, *, ahead_us: int = 0, cut_off: bool = False
    ) -> AsyncIterator[tuple[DailyKeys, MemoryEdgeChannel]]:
        channel = MemoryEdgeChannel(self.server)
        if cut_off:
            self.server.cut_off.add(channel)
        keys = DailyKeys(
            store,
            channel,
            now_us=lambda: self.now_us() + ahead_us,
            random_key=lambda: self.dice.randbytes(32),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keys.run)
            yield keys, channel
            nursery.cancel_scope.cancel()

    def now_us(self) -> int:
        return self.noon_us + int(trio.current_time() * 1e6)


def pseudonym(keys: DailyKeys, day: int = DAY) -> bytes | None:
    pseudonymiser = keys.pseudonymiser(day)
    return pseudonymiser.pseudonym(IDENTITY) if pseudonymiser else None


async def test_an_edge_alone_has_a_key_at_once(autojump_clock: MockClock) -> None:
    edges = Edges()
    async with edges.edge() as (keys, _):
        started = trio.current_time()
        await keys.ready.wait()
        assert trio.current_time() == started
        assert pseudonym(keys)
        assert pseudonym(keys, DAY - 1) is pseudonym(keys, DAY + 1) is None


@pytest.mark.parametrize("seed", range(20))
async def test_edges_that_start_together_agree_before_first_use(
    seed: int, autojump_clock: MockClock
) -> None:
    edges = Edges(seed)
    skews = [edges.dice.randrange(-5_000_000, 5_000_000) for _ in range(3)]
    async with (
        edges.edge(ahead_us=skews[0]) as (first, _),
        edges.edge(ahead_us=skews[1]) as (second, _),
        edges.edge(ahead_us=skews[2]) as (third, _),
    ):
        for keys in (first, second, third):
            await keys.ready.wait()
        assert pseudonym(first) == pseudonym(second) == pseudonym(third) is not None
        assert [keys.counts["conflicts"] for keys in (first, second, third)] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(20))
async def test_a_new_edge_takes_the_key_in_use(seed: int, autojump_clock: MockClock) -> None:
    """Also when the newcomer's clock is behind, so that its candidate looks older."""
    edges = Edges(seed)
    async with edges.edge() as (old, _):
        await old.ready.wait()
        before = pseudonym(old)
        await trio.sleep(edges.dice.uniform(0, 3 * TICK_S))
        async with edges.edge(ahead_us=-60_000_000) as (new, _):
            await new.ready.wait()
            assert pseudonym(new) == pseudonym(old) == before
            assert old.counts["conflicts"] == new.counts["conflicts"] == 0


@pytest.mark.parametrize("seed", range(20))
async def test_edges_that_could_not_hear_each_other_agree_once_they_can(
    seed: int, autojump_clock: MockClock
) -> None:
    edges = Edges(seed)
    skew = edges.dice.randrange(-5_000_000, 5_000_000)
    async with (
        edges.edge() as (first, _),
        edges.edge(ahead_us=skew, cut_off=True) as (second, channel),
        edges.edge() as (third, _),
    ):
        await trio.sleep(edges.dice.uniform(1, 40))
        assert pseudonym(first) == pseudonym(third) != pseudonym(second) is not None
        edges.server.cut_off.remove(channel)
        await trio.sleep(GREET_S + TICK_S + 1)
        agreed = pseudonym(first)
        assert agreed == pseudonym(second) == pseudonym(third)
        assert sum(keys.counts["conflicts"] for keys in (first, second, third)) in (1, 2)
        await trio.sleep(100)
        assert agreed == pseudonym(first) == pseudonym(second) == pseudonym(third)


async def test_one_machine_agrees_without_a_server_and_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    edges, store = Edges(), MemoryKeyStore()
    async with edges.edge(store, cut_off=True) as (first, _):
        await first.ready.wait()
        before = pseudonym(first)
        async with edges.edge(store, cut_off=True) as (second, _):
            await second.ready.wait()
            assert pseudonym(second) == before
    async with edges.edge(store, cut_off=True) as (restarted, _):
        await restarted.ready.wait()
        assert pseudonym(restarted) == before
        assert restarted.counts["made"] == 0


async def test_tomorrows_key_is_there_before_tomorrow_and_yesterdays_goes(
    autojump_clock: MockClock,
) -> None:
    edges, store = Edges(), MemoryKeyStore()
    async with edges.edge(store) as (first, _), edges.edge() as (second, _):
        await first.ready.wait()
        await second.ready.wait()
        edges.noon_us += 43_200_000_000 - PREPARE_US - 10_000_000
        await trio.sleep(2 * TICK_S)
        assert pseudonym(first, DAY + 1) is None
        await trio.sleep(10 + TICK_S + 2 * SETTLE_S + 0.1)
        tomorrow = pseudonym(first, DAY + 1)
        assert tomorrow == pseudonym(second, DAY + 1) is not None
        today = pseudonym(first)
        assert today != tomorrow
        edges.noon_us += PREPARE_US  # past midnight
        await trio.sleep(2 * TICK_S)
        assert (pseudonym(first), pseudonym(first, DAY + 1)) == (today, tomorrow)
        old = store.keys[DAY].key
        edges.noon_us += 36 * 3_600_000_000
        await trio.sleep(2 * TICK_S)
        for keys in (first, second):
            assert pseudonym(keys, DAY) is None
            assert pseudonym(keys, DAY + 1) == tomorrow
            assert keys.counts["conflicts"] == 0
            assert not any(key.key == old for key in keys._keys.values())
        assert not any(key.key == old for key in store.keys.values())


class FullKeyStore(MemoryKeyStore):
    def exchange(self, keys: object, now_us: int) -> dict[int, DailyKey]:
        raise OSError(28, "No space left on device")


async def test_a_key_is_in_memory_when_its_store_fails(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    edges = Edges()
    async with edges.edge(FullKeyStore()) as (keys, _):
        await keys.ready.wait()
        assert pseudonym(keys)
        await trio.sleep(5 * TICK_S)
        assert keys.counts["store_failures"] > 5
        assert len(caplog.records) == 1


class SilentChannel(MemoryEdgeChannel):
    """A server that takes connections and says nothing, for as long as storage waits for it."""

    async def send(self, message: bytes) -> int | None:
        await trio.sleep(1)
        return 0

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        await trio.sleep(math.inf)
        async with super().listen() as messages:
            yield messages


async def test_a_silent_server_keeps_no_edge_waiting(autojump_clock: MockClock) -> None:
    """A restarted edge has its key at once, a new one after two seconds at most."""
    store, dice = MemoryKeyStore(), random.Random(1)
    for limit_s in (2.0, 0.0):
        started = trio.current_time()
        keys = DailyKeys(
            store,
            SilentChannel(MemoryEdgeBroker()),
            now_us=lambda: DAY * DAY_US + int(trio.current_time() * 1e6),
            random_key=lambda: dice.randbytes(32),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keys.run)
            await keys.ready.wait()
            assert trio.current_time() - started <= limit_s
            assert pseudonym(keys)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\xff", b"[]x", b"{}", b'{"day":1,"has":2}', b'[[1,true,2,"zz"]]', b'[[1,true,2,"00"]]',
        pack_keys([DailyKey(DAY + day, True, 1, bytes(32)) for day in range(9)]),
    ],
)  # fmt: skip
async def test_malformed_messages_are_counted(message: bytes, autojump_clock: MockClock) -> None:
    edges = Edges()
    async with edges.edge() as (keys, channel):
        await keys.ready.wait()
        before = pseudonym(keys)
        await channel.send(message)
        await trio.sleep(1)
        assert keys.counts["malformed"] == 1
        assert pseudonym(keys) == before


async def test_keys_of_other_days_are_not_taken(autojump_clock: MockClock) -> None:
    edges = Edges()
    async with edges.edge() as (keys, channel):
        await keys.ready.wait()
        await channel.send(pack_keys([DailyKey(DAY + 5, True, 1, bytes(32))]))
        await channel.send(pack_keys([DailyKey(DAY - 5, True, 1, bytes(32))]))
        await channel.send(pack_greeting(KeyAnnouncement(DAY + 5, "x")))
        await trio.sleep(1)
        assert len(keys._keys) == 1
