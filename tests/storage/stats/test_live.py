"""The live channel: one contract in memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from actors.stats.live_feed import LiveFeed
from actors.stats.live_subscribers import LiveSubscribers
from engine.stats.live import LiveClick, LiveUpdate
from engine.stats.ports import SUBSCRIPTION_S
from storage.redis.client import RedisServer
from storage.stats.live import CHANNEL, RedisLiveChannel
from storage.stats.memory_live import MemoryLiveChannel
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click

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


async def test_subscribers_get_each_click_from_workers_through_redis(redis_url: str) -> None:
    """Committed before workers notice the subscription, or once they have."""
    workers = await RedisServer.open(redis_url, size=2)
    console = await RedisServer.open(redis_url, size=2)
    feed = LiveFeed(RedisLiveChannel(workers))
    subscribers = LiveSubscribers(RedisLiveChannel(console))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        nursery.start_soon(subscribers.run)
        await trio.sleep(0.1)
        with subscribers.subscription(1, 9) as subscriber, trio.fail_after(10):
            await subscribers.open(subscriber)
            assert not feed._subscribed
            feed.committed(0, [batch(1, [click(profile_id=9, link_id=5)])])
            await subscriber.wait(5)
            assert feed._subscribed == {9}
            feed.committed(1, [batch(2, [click(profile_id=9, link_id=6)])])
            while len(subscriber.clicks) < 2:
                subscriber.arrived = trio.Event()
                await subscriber.arrived.wait()
            assert [numbered.click.link_id for numbered in subscriber.clicks] == [5, 6]
            assert subscriber.gap == ""
        nursery.cancel_scope.cancel()
    await workers.close()
    await console.close()
