"""The click stream's contract, in memory and on Redis: an add notices every gap before it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
import trio

from engine.clicks.batch import Batch
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from storage.clicks.memory_stream import MemoryClickStream, MemoryStreams
from storage.clicks.stream import RedisClickStream, stream_key
from storage.redis.client import RedisServer
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

JOURNAL = uuid4()


class Bench(NamedTuple):
    """A stream, and faults of its server."""

    stream: ClickStream
    flush: Callable[[], Awaitable[object]]
    lose_last: Callable[[UUID], Awaitable[object]]

    async def ship(self, *batches: Batch) -> list[bool]:
        """Add a chain of batches from the last on."""
        previous = await self.stream.last(JOURNAL) or 0
        added = []
        for batch in batches:
            added.append(await self.stream.add(JOURNAL, previous, batch))
            previous = batch.last
        return added

    async def kept(self, after: int = 0) -> list[int]:
        return [batch.last for batch in await self.stream.read(JOURNAL, after, 100, 0)]


def batch(first: int, last: int) -> Batch:
    return Batch(first, last, b"\x00\xff%d" % last)


A, B, C, D = batch(1, 3), batch(4, 4), batch(5, 9), batch(10, 20)


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[Bench]:
    if url is None:
        streams = MemoryStreams()

        async def flush() -> None:
            streams.flush()

        async def lose_last(journal_id: UUID) -> None:
            streams.lose_last(journal_id, 1)

        yield Bench(MemoryClickStream(streams), flush, lose_last)
        return
    server = await RedisServer.open(url, size=2)

    async def forget(journal_id: UUID) -> None:
        # Like a restart with an older file, which has neither the entry nor its id.
        stream = RedisClickStream(server)
        kept = (await stream.read(journal_id, 0, 100, 0))[:-1]
        await stream.reset(journal_id)
        previous = 0
        for batch in kept:
            assert await stream.add(journal_id, previous, batch)
            previous = batch.last

    yield Bench(RedisClickStream(server), lambda: server.run(server.commands.flushdb), forget)
    await server.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(redis_url, size=2)
    yield server
    await server.close()


async def test_batches_are_read_as_they_were_added(bench: Bench) -> None:
    assert await bench.stream.last(JOURNAL) is None
    assert await bench.ship(A, B, C) == [True, True, True]
    assert await bench.stream.last(JOURNAL) == 9
    assert await bench.stream.read(JOURNAL, 0, 100, 0) == [A, B, C]
    assert await bench.stream.read(JOURNAL, 0, 2, 0) == [A, B]
    assert await bench.stream.read(JOURNAL, 4, 100, 0) == [C]
    assert await bench.stream.read(JOURNAL, 8, 100, 0) == [C]
    assert await bench.stream.read(JOURNAL, 9, 100, 0) == []
    assert await bench.stream.read(uuid4(), 0, 100, 0) == []


async def test_an_add_continues_the_last_entry_or_is_refused(bench: Bench) -> None:
    await bench.ship(A, B)
    assert not await bench.stream.add(JOURNAL, 3, C)
    assert not await bench.stream.add(JOURNAL, 0, C)
    assert not await bench.stream.add(JOURNAL, 9, D)
    assert await bench.stream.add(JOURNAL, 4, C)
    assert await bench.kept() == [3, 4, 9]


async def test_adding_the_very_same_batch_again_is_true_and_adds_nothing(bench: Bench) -> None:
    await bench.ship(A, B)
    assert await bench.stream.add(JOURNAL, 3, B)
    assert not await bench.stream.add(JOURNAL, 3, B._replace(payload=b"other"))
    assert not await bench.stream.add(JOURNAL, 0, A)
    assert await bench.kept() == [3, 4]


async def test_an_emptied_stream_is_noticed_and_refilled_from_the_watermark(bench: Bench) -> None:
    await bench.ship(A, B)
    await bench.flush()
    assert not await bench.stream.add(JOURNAL, 4, C)
    await bench.stream.reset(JOURNAL)
    assert await bench.ship(B, C) == [True, True]
    assert await bench.kept() == [4, 9]


async def test_lost_last_entries_are_noticed(bench: Bench) -> None:
    await bench.ship(A, B, C)
    await bench.lose_last(JOURNAL)
    assert await bench.stream.last(JOURNAL) == 4
    assert not await bench.stream.add(JOURNAL, 9, D)
    await bench.stream.reset(JOURNAL)
    assert await bench.stream.last(JOURNAL) is None
    assert not await bench.stream.add(JOURNAL, 9, D)
    assert await bench.ship(B, C, D) == [True, True, True]


@pytest.mark.parametrize(
    ("below", "kept"),
    [(0, [3, 4, 9]), (3, [3, 4, 9]), (4, [4, 9]), (5, [9]), (9, [9]), (10, [9]), (99, [9])],
)
async def test_trimming_never_removes_the_last(bench: Bench, below: int, kept: list[int]) -> None:
    await bench.stream.trim(JOURNAL, below)
    await bench.ship(A, B, C)
    await bench.stream.trim(JOURNAL, below)
    assert await bench.kept() == kept
    assert await bench.stream.add(JOURNAL, 9, D)


async def test_a_reader_waits_for_the_first_and_no_longer(bench: Bench) -> None:
    with trio.fail_after(5):
        assert await bench.stream.read(JOURNAL, 0, 100, 10) == []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.ship, A)
            assert await bench.stream.read(JOURNAL, 0, 100, 4_000) == [A]


async def test_waiting_readers_leave_connections_for_the_others(server: RedisServer) -> None:
    stream = RedisClickStream(server)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(stream.read, uuid4(), 0, 1, 20_000)
            for _ in range(10):
                assert await stream.last(JOURNAL) is None
            nursery.cancel_scope.cancel()
        assert await stream.add(JOURNAL, 0, A)
        assert await stream.read(JOURNAL, 0, 9, 1_000) == [A]


async def test_scripts_are_loaded_again_after_a_server_lost_them(server: RedisServer) -> None:
    stream = RedisClickStream(server)
    assert await stream.add(JOURNAL, 0, A)
    await server.run(server.commands.script_flush)
    assert await stream.add(JOURNAL, 3, B)


async def test_dropped_connections_are_replaced(server: RedisServer) -> None:
    stream = RedisClickStream(server)
    assert await stream.add(JOURNAL, 0, A)
    await server.run(server.commands.execute_command, "CLIENT", "KILL", "SKIPME", "no")
    assert await stream.add(JOURNAL, 3, B)


async def test_sequences_too_large_for_a_double(server: RedisServer) -> None:
    stream = RedisClickStream(server)
    high = 2**53
    assert await stream.add(JOURNAL, 0, batch(high, high + 1))
    assert not await stream.add(JOURNAL, high, batch(high + 1, high + 3))
    assert await stream.add(JOURNAL, high + 1, batch(high + 2, high + 3))
    await stream.trim(JOURNAL, high + 2)
    assert await stream.last(JOURNAL) == high + 3
    assert len(await stream.read(JOURNAL, 0, 9, 0)) == 1


async def test_a_server_that_is_away_is_unavailable() -> None:
    server = await RedisServer.open("unix:///nonexistent/socket", size=1)
    stream = RedisClickStream(server)
    with trio.fail_after(5):
        with pytest.raises(UnavailableError):
            await stream.last(JOURNAL)
        with pytest.raises(UnavailableError):
            await stream.read(JOURNAL, 0, 1, 1_000)
    await server.close()


async def test_all_keys_of_a_journal_are_in_one_slot() -> None:
    assert stream_key(UUID(int=1)) == "waypost:{00000000000000000000000000000001}:clicks"
