"""Edges agree on a day's key: at the same moment, apart and together again, over midnight and restarts."""

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
from storage.visits.memory_daily_keys import MemoryDailyKeyChannel, MemoryKeyBroker, MemoryKeyStore

DAY = 20_000
WHO = b"profile, network and agent"


class Edges:
    """Edges on machines that share a server; wall clocks may differ."""

    def __init__(self, seed: int = 0) -> None:
        self.server = MemoryKeyBroker()
        self.dice = random.Random(seed)
        self.noon_us = DAY * DAY_US + DAY_US // 2
        self.running: list[DailyKeys] = []

    @asynccontextmanager
    async def edge(
        self, shelf: MemoryKeyStore | None = None, *, ahead_us: int = 0, cut_off: bool = False
    ) -> AsyncIterator[tuple[DailyKeys, MemoryDailyKeyChannel]]:
        channel = MemoryDailyKeyChannel(self.server)
        if cut_off:
            self.server.cut_off.add(channel)
        keys = DailyKeys(
            shelf,
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
    ids = keys.pseudonymiser(day)
    return ids.pseudonym(WHO) if ids else None


async def test_alone_it_has_a_key_at_once(autojump_clock: MockClock) -> None:
    edges = Edges()
    async with edges.edge() as (keys, _):
        started = trio.current_time()
        await keys.ready.wait()
        assert trio.current_time() == started
        assert pseudonym(keys)
        assert pseudonym(keys, DAY - 1) is pseudonym(keys, DAY + 1) is None


@pytest.mark.parametrize("seed", range(20))
async def test_who_start_together_agree_before_first_use(
    seed: int, autojump_clock: MockClock
) -> None:
    edges = Edges(seed)
    skews = [edges.dice.randrange(-5_000_000, 5_000_000) for _ in range(3)]
    async with (
        edges.edge(ahead_us=skews[0]) as (one, _),
        edges.edge(ahead_us=skews[1]) as (two, _),
        edges.edge(ahead_us=skews[2]) as (three, _),
    ):
        for keys in (one, two, three):
            await keys.ready.wait()
        assert pseudonym(one) == pseudonym(two) == pseudonym(three) is not None
        assert [keys.counts["conflicts"] for keys in (one, two, three)] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(20))
async def test_a_newcomer_takes_what_is_in_use(seed: int, autojump_clock: MockClock) -> None:
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
async def test_who_could_not_hear_each_other_agree_once_they_can(
    seed: int, autojump_clock: MockClock
) -> None:
    edges = Edges(seed)
    skew = edges.dice.randrange(-5_000_000, 5_000_000)
    async with (
        edges.edge() as (one, _),
        edges.edge(ahead_us=skew, cut_off=True) as (two, channel),
        edges.edge() as (three, _),
    ):
        await trio.sleep(edges.dice.uniform(1, 40))
        assert pseudonym(one) == pseudonym(three) != pseudonym(two) is not None
        edges.server.cut_off.remove(channel)
        await trio.sleep(GREET_S + TICK_S + 1)
        agreed = pseudonym(one)
        assert agreed == pseudonym(two) == pseudonym(three)
        assert sum(keys.counts["conflicts"] for keys in (one, two, three)) in (1, 2)
        await trio.sleep(100)
        assert agreed == pseudonym(one) == pseudonym(two) == pseudonym(three)


async def test_one_machine_agrees_without_a_server_and_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    edges, shelf = Edges(), MemoryKeyStore()
    async with edges.edge(shelf, cut_off=True) as (one, _):
        await one.ready.wait()
        before = pseudonym(one)
        async with edges.edge(shelf, cut_off=True) as (two, _):
            await two.ready.wait()
            assert pseudonym(two) == before
    async with edges.edge(shelf, cut_off=True) as (again, _):
        await again.ready.wait()
        assert pseudonym(again) == before
        assert again.counts["made"] == 0


async def test_tomorrows_key_is_there_before_tomorrow_and_yesterdays_goes(
    autojump_clock: MockClock,
) -> None:
    edges, shelf = Edges(), MemoryKeyStore()
    async with edges.edge(shelf) as (one, _), edges.edge() as (two, _):
        await one.ready.wait()
        await two.ready.wait()
        edges.noon_us += 43_200_000_000 - PREPARE_US - 10_000_000
        await trio.sleep(2 * TICK_S)
        assert pseudonym(one, DAY + 1) is None
        await trio.sleep(10 + TICK_S + 2 * SETTLE_S + 0.1)
        tomorrow = pseudonym(one, DAY + 1)
        assert tomorrow == pseudonym(two, DAY + 1) is not None
        today = pseudonym(one)
        assert today != tomorrow
        edges.noon_us += PREPARE_US  # past midnight: what was today's click is yesterday's
        await trio.sleep(2 * TICK_S)
        assert (pseudonym(one), pseudonym(one, DAY + 1)) == (today, tomorrow)
        old = shelf.keys[DAY].key
        edges.noon_us += 36 * 3_600_000_000
        await trio.sleep(2 * TICK_S)
        for keys in (one, two):
            assert pseudonym(keys, DAY) is None
            assert pseudonym(keys, DAY + 1) == tomorrow
            assert keys.counts["conflicts"] == 0
            assert not any(held.key == old for held in keys._keys.values())
        assert not any(held.key == old for held in shelf.keys.values())


class Broken(MemoryKeyStore):
    def exchange(self, keys: object, now_us: int) -> dict[int, DailyKey]:
        raise OSError(28, "No space left on device")


async def test_without_a_shelf_that_works_a_key_is_in_memory(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    edges = Edges()
    async with edges.edge(Broken()) as (keys, _):
        await keys.ready.wait()
        assert pseudonym(keys)
        await trio.sleep(5 * TICK_S)
        assert keys.counts["store_failures"] > 5
        assert len(caplog.records) == 1


class Silent(MemoryDailyKeyChannel):
    """A server that takes connections and says nothing, for as long as storage waits for it."""

    async def send(self, message: bytes) -> int | None:
        await trio.sleep(1)
        return 0

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        await trio.sleep(math.inf)
        async with super().listen() as messages:
            yield messages


async def test_a_silent_server_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """Who comes back has its key at once, whoever is new after two seconds at most."""
    shelf, dice = MemoryKeyStore(), random.Random(1)
    for limit_s in (2.0, 0.0):
        started = trio.current_time()
        keys = DailyKeys(
            shelf,
            Silent(MemoryKeyBroker()),
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
async def test_what_is_no_message_is_counted(message: bytes, autojump_clock: MockClock) -> None:
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
