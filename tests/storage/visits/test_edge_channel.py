"""The contract of channels between edges, in memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from storage.redis.client import RedisServer
from storage.visits.edge_channel import RedisEdgeChannel
from storage.visits.memory_edge_channel import MemoryEdgeBroker, MemoryEdgeChannel
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def channels(url: str | None) -> AsyncIterator[list[Any]]:
    if url is None:
        memory = MemoryEdgeBroker()
        yield [MemoryEdgeChannel(memory), MemoryEdgeChannel(memory)]
        return
    # Listeners of one process are one receiver.
    servers = [await RedisServer.open(url, size=2) for _ in range(2)]
    yield [RedisEdgeChannel(server, "test") for server in servers]
    for server in servers:
        await server.close()


async def test_every_listener_gets_a_message_and_the_sender_their_number(
    channels: list[Any],
) -> None:
    one, two = channels
    assert await one.send(b"nobody") == 0
    async with one.listen() as first:
        assert await one.send(b"alone") == 1
        async with two.listen() as second:
            assert await two.send(b"both") == 2
            with trio.fail_after(5):
                assert [await anext(first), await anext(first)] == [b"alone", b"both"]
                assert await anext(second) == b"both"


async def test_an_error_in_the_context_is_raised_unchanged(channels: list[Any]) -> None:
    with pytest.raises(KeyError):
        async with channels[0].listen():
            raise KeyError("mine")


async def test_a_message_without_a_server_reaches_no_edge_and_is_counted() -> None:
    server = await RedisServer.open("unix:///nonexistent/socket", size=1)
    channel = RedisEdgeChannel(server, "test")
    with trio.fail_after(10):
        assert await channel.send(b"x") == 0
        async with channel.listen():
            await trio.sleep(0.05)
    assert channel.counts["failed"] == 1
    assert channel.counts["disconnected"] > 0
    await server.close()
