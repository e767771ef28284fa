"""Entrances of several edges: announced in batches, bounded, counted where they are lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.visits import entrances as module
from actors.visits.entrances import Entrances
from engine.visits.daily_key import DAY_US
from engine.visits.entrance import KEPT_US, Entrance, EntranceMemory
from engine.visits.pseudonym import Pseudonymiser
from storage.visits.memory_edge_channel import MemoryEdgeBroker, MemoryEdgeChannel

VISITOR = b"visitor1"


@asynccontextmanager
async def running(
    broker: MemoryEdgeBroker, now_us: int = 1000
) -> AsyncIterator[tuple[Entrances, MemoryEdgeChannel]]:
    entrances, channel = Entrances(), MemoryEdgeChannel(broker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(entrances.announce, channel)
        nursery.start_soon(entrances.follow, channel, lambda: now_us)
        nursery.start_soon(entrances.forget, lambda: now_us)
        await wait_all_tasks_blocked()
        yield entrances, channel
        nursery.cancel_scope.cancel()


def referrer_of(entrances: Entrances, at_us: int = 1000) -> bytes | None:
    entrance = entrances.last(VISITOR, b"identity", at_us)
    return None if entrance is None else entrance.referrer


async def test_other_edges_know_an_entrance_within_100_ms(autojump_clock: trio.abc.Clock) -> None:
    broker = MemoryEdgeBroker()
    async with running(broker) as (first, _), running(broker) as (second, _):
        first.enter(1, 900, VISITOR, b"https://l.instagram.com/", b"a=b&utm_source=ig")
        assert referrer_of(first) == b"https://l.instagram.com/"
        assert referrer_of(second) is None
        await trio.sleep(0.1)
        assert second.last(VISITOR, b"", 1000) == first.last(VISITOR, b"", 1000)
        second.enter(1, 950, VISITOR, b"https://google.com/", b"")
        await trio.sleep(0.1)
        assert referrer_of(first) == b"https://google.com/"
        assert first.unannounced == second.unannounced == 0


async def test_an_edge_passes_over_its_own_messages(autojump_clock: trio.abc.Clock) -> None:
    broker = MemoryEdgeBroker()
    async with running(broker) as (first, _), running(broker) as (second, _):
        first.enter(1, 900, VISITOR, b"r", b"")
        first.memory = EntranceMemory(10)
        await trio.sleep(0.1)
        assert (referrer_of(second), referrer_of(first)) == (b"r", None)


async def test_a_burst_is_sent_in_parts_and_bounded(autojump_clock: trio.abc.Clock) -> None:
    broker = MemoryEdgeBroker()
    async with running(broker) as (first, _), running(broker) as (second, _):
        for number in range(module.MAX_UNSENT + 3):
            first.enter(number // 1000, 900, number.to_bytes(8), b"r", b"")
        assert first.unannounced == 3
        await trio.sleep(0.1)
        assert len(second.memory) == module.MAX_UNSENT


async def test_what_no_edge_could_be_told_is_counted(autojump_clock: trio.abc.Clock) -> None:
    broker = MemoryEdgeBroker()
    async with running(broker) as (first, channel), running(broker) as (second, _):
        broker.cut_off.add(channel)
        first.enter(1, 900, VISITOR, b"r", b"")
        await trio.sleep(0.1)
        assert (first.unannounced, referrer_of(first), referrer_of(second)) == (1, b"r", None)
        assert {s.name: s.value for s in first.samples()}[module.UNANNOUNCED_ENTRANCES.name] == 1
        broker.cut_off.clear()
        first.enter(1, 901, VISITOR, b"again", b"")
        await trio.sleep(0.1)
        assert referrer_of(second) == b"again"


async def test_a_malformed_message_is_counted_and_a_clock_ahead_blocks_nothing(
    autojump_clock: trio.abc.Clock,
) -> None:
    broker = MemoryEdgeBroker()
    async with (
        running(broker, 10**15) as (ahead, channel),
        running(broker) as (second, _),
    ):
        await channel.send(b"\1nonsense")
        ahead.enter(1, 10**15, VISITOR, b"ahead", b"")
        await trio.sleep(0.1)
        assert second.malformed == 1
        assert referrer_of(second) == b"ahead"
        second.enter(1, 1001, VISITOR, b"later", b"")
        assert referrer_of(second, 1001) == b"later"


async def test_entrances_are_forgotten_after_their_time(autojump_clock: trio.abc.Clock) -> None:
    async with running(MemoryEdgeBroker(), 2 * KEPT_US) as (entrances, _):
        for number in range(2500):
            entrances.memory.add(Entrance(number, KEPT_US - 1, number.to_bytes(8), b"r", b""))
        entrances.memory.add(Entrance(1, KEPT_US, VISITOR, b"r", b""))
        await trio.sleep(10.5)
        assert len(entrances.memory) == 1


def test_a_visitor_who_entered_before_midnight_is_known_after_it() -> None:
    keys = {9: Pseudonymiser(bytes(32)), 10: Pseudonymiser(b"1" * 32)}
    entrances = Entrances(pseudonymiser=keys.get)
    midnight_us = 10 * DAY_US
    entrances.enter(1, midnight_us - 60_000_000, keys[9].pseudonym(b"identity"), b"r", b"")
    today = keys[10].pseudonym(b"identity")
    assert entrances.last(today, b"identity", midnight_us + 1) is not None
    assert entrances.last(today, b"another", midnight_us + 1) is None
    assert entrances.last(today, b"identity", midnight_us + KEPT_US) is None
    assert Entrances().last(today, b"identity", midnight_us) is None


def test_a_view_that_names_no_way_is_no_entrance() -> None:
    entrances = Entrances()
    entrances.enter(1, 900, VISITOR, b"", b"")
    entrances.enter(1, 900, VISITOR, b"", b"not_utm_source=x")
    assert referrer_of(entrances) is None
