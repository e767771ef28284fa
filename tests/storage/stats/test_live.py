"""The live channel: one contract in memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from engine.stats.live import LiveClick, LiveUpdate
from engine.stats.ports import SUBSCRIPTION_S
from storage.redis.client import RedisServer
from storage.stats.live import CHANNEL, RedisLiveChannel
from storage.stats.memory_live import MemoryLiveChannel
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

UPDATE = LiveUpdate(
    profile_id=2**62,
    clicks=[LiveClick(at_us=1, link_id=5, values={"city": "Zürich, CH"})],
    counts=(1, 0, 0),
)


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "redis"])
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Any, Clock]]:
    clock = Clock()
    if request.param == "memory":
        yield MemoryLiveChannel(clock), clock
        return
    server = await RedisServer.open(request.getfixturevalue("redis_url"), size=2)
    yield RedisLiveChannel(server, clock), clock
    await server.close()


async def test_a_subscription_lasts_for_its_time(channel: tuple[Any, Clock]) -> None:
    live, clock = channel
    assert await live.subscribed_profiles() == frozenset()
    await live.subscribe([1, 2**62])
    clock.now += SUBSCRIPTION_S - 1
    await live.subscribe([1])
    assert await live.subscribed_profiles() == {1, 2**62}
    clock.now += 2
    assert await live.subscribed_profiles() == {1}
    clock.now += SUBSCRIPTION_S
    await live.subscribe([])
    assert await live.subscribed_profiles() == frozenset()


async def test_every_listener_receives_an_update(channel: tuple[Any, Clock]) -> None:
    live, _ = channel
    async with live.listen() as first, live.listen() as second:
        await live.publish([UPDATE])
        with trio.fail_after(5):
            assert [await anext(first), await anext(second)] == [UPDATE, UPDATE]


async def test_a_malformed_message_is_skipped(redis_url: str) -> None:
    server = await RedisServer.open(redis_url, size=2)
    live = RedisLiveChannel(server)
    async with live.listen() as updates:
        await server.run(server.commands.execute_command, "PUBLISH", CHANNEL, b"{")
        await live.publish([UPDATE])
        with trio.fail_after(5):
            assert await anext(updates) == UPDATE
    assert live.counts["malformed"] == 1
    await server.close()
