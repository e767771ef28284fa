"""The announcer's contract, in memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from engine.links.profile import ProfileChange
from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue
from storage.visits.announcer import CHANNEL, RedisAnnouncer, decode, encode
from storage.visits.memory_announcer import MemoryAnnouncer, MemoryPubSub
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

CHANGES = [ProfileChange(profile_id, 7, profile_id == 2) for profile_id in range(1, 1200)]


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def announcer(url: str | None) -> AsyncIterator[Any]:
    if url is None:
        yield MemoryAnnouncer(MemoryPubSub())
        return
    server = await RedisServer.open(url, size=2)
    yield RedisAnnouncer(server)
    await server.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(redis_url, size=2)
    yield server
    await server.close()


async def take(changes: AsyncIterator[ProfileChange], count: int) -> list[ProfileChange]:
    with trio.fail_after(5):
        return [await anext(changes) for _ in range(count)]


async def test_every_listener_gets_every_change(announcer: Any) -> None:
    await announcer.announce(CHANGES)
    async with announcer.listen() as first, announcer.listen() as second:
        await announcer.announce(CHANGES)
        await announcer.announce([])
        assert await take(first, len(CHANGES)) == CHANGES
        assert await take(second, len(CHANGES)) == CHANGES
    assert announcer.counts["announced"] == 2 * len(CHANGES)
    assert announcer.counts["failed"] == 0


async def test_an_error_in_the_context_is_raised_unchanged(announcer: Any) -> None:
    with pytest.raises(KeyError):
        async with announcer.listen():
            raise KeyError("mine")


async def test_listening_can_be_cancelled(announcer: Any) -> None:
    with trio.move_on_after(0.05) as scope:
        async with announcer.listen() as changes:
            await anext(changes)
    assert scope.cancelled_caught


async def test_a_slow_listener_loses_the_oldest() -> None:
    queue: DropOldestQueue[ProfileChange] = DropOldestQueue(2)
    assert [queue.put(change) for change in CHANGES[:4]] == [False, False, True, True]
    assert [await anext(queue), await anext(queue)] == CHANGES[2:4]


async def test_a_listener_connects_again(server: RedisServer) -> None:
    announcer = RedisAnnouncer(server)
    async with announcer.listen() as changes:
        await announcer.announce(CHANGES[:1])
        assert await take(changes, 1) == CHANGES[:1]
        await server.run(server.commands.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
        received: list[ProfileChange] = []
        with trio.fail_after(5):
            while not received:
                await announcer.announce(CHANGES[1:2])
                with trio.move_on_after(0.02):
                    received.append(await anext(changes))
        assert received == CHANGES[1:2]


async def test_malformed_messages_are_counted_and_ignored(server: RedisServer) -> None:
    announcer = RedisAnnouncer(server)
    async with announcer.listen() as changes:
        for message in (b"", b"\xff", b"{}x", b"[[1]]", b"7", b'[["a", 1, 2]]'):
            await server.run(server.commands.execute_command, "PUBLISH", CHANNEL, message)
        await announcer.announce(CHANGES[:1])
        assert await take(changes, 1) == CHANGES[:1]
    assert announcer.counts["malformed"] == 6


async def test_an_announcement_without_a_server_is_counted_as_failed() -> None:
    server = await RedisServer.open("unix:///nonexistent/socket", size=1)
    announcer = RedisAnnouncer(server)
    with trio.fail_after(10):
        await announcer.announce(CHANGES[:3])
        async with announcer.listen() as changes:
            with trio.move_on_after(0.1):
                await anext(changes)
    assert announcer.counts["failed"] == 3
    assert announcer.counts["disconnected"] > 0
    await server.close()


async def test_a_message_decodes_to_the_announced_changes() -> None:
    assert decode(encode(CHANGES)) == CHANGES
