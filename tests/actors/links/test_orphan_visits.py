"""Orphan visits in an edge's memory: bounded, stored in turns, and kept while storage is away."""

from collections.abc import Sequence

import trio
from trio.testing import MockClock

from actors.links.orphan_visits import MAX_PATHS, MAX_PATHS_OF_HOST, STORE_S, OrphanVisits
from engine.common.errors import UnavailableError
from engine.links.orphan_visits import MAX_PATH_CHARS, OTHER, OrphanCount


class CountingStore:
    """An OrphanVisitStore that may be away."""

    def __init__(self) -> None:
        self.visits: dict[tuple[str, str], int] = {}
        self.away = False

    async def add(self, counts: Sequence[OrphanCount]) -> None:
        if self.away:
            raise UnavailableError("away")
        for host, path, visits in counts:
            self.visits[host, path] = self.visits.get((host, path), 0) + visits


async def test_visits_are_stored_once_and_kept_while_storage_is_away(
    autojump_clock: MockClock,
) -> None:
    store, orphans = CountingStore(), OrphanVisits()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run, store)
        store.away = True
        for path in (b"/a", b"/a", b"/b" + b"x" * 300):
            orphans.note(b"one.example", path)
        await trio.sleep(STORE_S * 2.5)
        store.away = False
        orphans.note(b"two.example", b"/a")
        await trio.sleep(STORE_S * 3)
        nursery.cancel_scope.cancel()
    long = "/b" + "x" * (MAX_PATH_CHARS - 2)
    assert store.visits == {
        ("one.example", "/a"): 2, ("one.example", long): 1, ("two.example", "/a"): 1,
    }  # fmt: skip


async def test_paths_are_bounded_for_each_host_and_for_all(autojump_clock: MockClock) -> None:
    store, orphans = CountingStore(), OrphanVisits()
    for number in range(MAX_PATHS_OF_HOST + 10):
        orphans.note(b"one.example", b"/%d" % number)
    for number in range(MAX_PATHS):
        orphans.note(b"%d.example" % number, b"/a")
    orphans.note(b"one.example", b"/0")
    assert orphans.unlisted == MAX_PATHS_OF_HOST + 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run, store)
        await trio.sleep(STORE_S * 1.5)
        orphans.note(b"new.example", b"/a")  # there is room again
        nursery.cancel_scope.cancel()
    assert store.visits["one.example", OTHER] == 10
    assert store.visits["one.example", "/0"] == 2
    assert len(store.visits) == MAX_PATHS
    assert {sample.name: sample.value for sample in orphans.samples()} == {
        "waypost_orphan_visits_unlisted_total": MAX_PATHS_OF_HOST + 1
    }
