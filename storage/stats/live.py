"""Clicks as they come, from workers to consoles, while somebody watches.

Redis keys: `waypost:watched`, a sorted set of profiles by the Unix second until which somebody watches them.
Consoles add to it, and take out what is over; it expires as a whole soon after the last did so. The channel
`waypost:live` carries engine/stats/live.py's messages of those profiles. It may lose some: it is to be looked at.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from engine.stats.live import LiveUpdate, decode, encode
from engine.stats.ports import MAX_WATCHED, WATCH_S
from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue, listening

KEY: Final = "waypost:watched"
CHANNEL: Final = "waypost:live"
MAX_WAITING: Final = 1_000


class RedisLiveChannel:
    """`LiveChannel` on Redis. Clocks of machines may differ by some seconds."""

    def __init__(self, server: RedisServer, clock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._clock = clock
        self.counts = dict.fromkeys(("received", "dropped", "malformed", "disconnected"), 0)

    async def subscribe(self, profiles: Sequence[int]) -> None:
        now = self._clock()
        scores = [part for profile in profiles for part in (now + WATCH_S, profile)]
        ask, run = self._server.run, self._server.commands.execute_command
        await ask(run, "ZREMRANGEBYSCORE", KEY, "-inf", f"({now}")
        if scores:
            await ask(run, "ZADD", KEY, *scores)
            await ask(run, "EXPIRE", KEY, int(4 * WATCH_S))

    async def subscribed_profiles(self) -> frozenset[int]:
        found = await self._server.run(
            self._server.commands.execute_command,
            "ZRANGEBYSCORE", KEY, self._clock(), "+inf", "LIMIT", 0, MAX_WATCHED,
        )  # fmt: skip
        return frozenset(int(one) for one in found)

    async def publish(self, news: Sequence[LiveUpdate]) -> None:
        for one in news:
            await self._server.run(
                self._server.commands.execute_command, "PUBLISH", CHANNEL, encode(one)
            )

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[LiveUpdate]]:
        waiting: DropOldestQueue[LiveUpdate] = DropOldestQueue(MAX_WAITING)
        return listening(self._server, CHANNEL, waiting, self._heard, self._lost)

    def _heard(self, waiting: DropOldestQueue[LiveUpdate], message: bytes) -> None:
        news = decode(message)
        if news is None:
            self.counts["malformed"] += 1
            return
        self.counts["received"] += 1
        self.counts["dropped"] += waiting.put(news)

    def _lost(self) -> None:
        self.counts["disconnected"] += 1
