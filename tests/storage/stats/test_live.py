"""The live channel's contract, in memory and on Redis."""

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

NEWS = LiveUpdate(
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


async def test_what_is_watched_is_watched_for_a_while(channel: tuple[Any, Clock]) -> None:
    board, clock = channel
    assert await board.subscribed_profiles() == frozenset()
    await board.subscribe([1, 2**62])
    clock.now += SUBSCRIPTION_S - 1
    await board.subscribe([1])
    assert await board.subscribed_profiles() == {1, 2**62}
    clock.now += 2
    assert await board.subscribed_profiles() == {1}
    clock.now += SUBSCRIPTION_S
    await board.subscribe([])
    assert await board.subscribed_profiles() == frozenset()


async def test_news_are_heard_by_all_who_listen(channel: tuple[Any, Clock]) -> None:
    board, _ = channel
    async with board.listen() as one, board.listen() as two:
        await board.publish([NEWS])
        with trio.fail_after(5):
            assert [await anext(one), await anext(two)] == [NEWS, NEWS]


async def test_what_is_not_ours_is_passed_over(redis_url: str) -> None:
    server = await RedisServer.open(redis_url, size=2)
    board = RedisLiveChannel(server)
    async with board.listen() as news:
        await server.run(server.commands.execute_command, "PUBLISH", CHANNEL, b"{")
        await board.publish([NEWS])
        with trio.fail_after(5):
            assert await anext(news) == NEWS
    assert board.counts["malformed"] == 1
    await server.close()
