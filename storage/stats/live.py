"""Live updates from workers to consoles through Redis, for profiles with live subscribers.

Redis keys               type        deleted by
waypost:live_profiles    sorted set  its expiry, soon after the last subscription

The set has profile ids, by the Unix second until which they are subscribed; consoles add them and remove
expired ones. The topic `waypost:live` carries the updates of these profiles (engine/stats/live.py). It may
lose some.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from engine.stats.live import LiveUpdate, decode, encode
from engine.stats.ports import MAX_SUBSCRIBED, SUBSCRIPTION_S
from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue

KEY: Final = "waypost:live_profiles"
CHANNEL: Final = "waypost:live"
MAX_WAITING: Final = 1_000
_Queue = DropOldestQueue[LiveUpdate | None]


class RedisLiveChannel:
    """LiveChannel on Redis. Clocks of machines may differ by some seconds."""

    def __init__(self, server: RedisServer, clock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._clock = clock
        self.counts = dict.fromkeys(("received", "dropped", "malformed", "disconnected"), 0)

    async def subscribe(self, profiles: Sequence[int]) -> None:
        now = self._clock()
        scores = [part for profile in profiles for part in (now + SUBSCRIPTION_S, profile)]
        run, execute = self._server.run, self._server.commands.execute_command
        await run(execute, "ZREMRANGEBYSCORE", KEY, "-inf", f"({now}")
        if scores:
            await run(execute, "ZADD", KEY, *scores)
            await run(execute, "EXPIRE", KEY, int(4 * SUBSCRIPTION_S))

    async def subscribed_profiles(self) -> frozenset[int]:
        profiles = await self._server.run(
            self._server.commands.execute_command,
            "ZRANGEBYSCORE", KEY, self._clock(), "+inf", "LIMIT", 0, MAX_SUBSCRIBED,
        )  # fmt: skip
        return frozenset(int(profile) for profile in profiles)

    async def publish(self, updates: Sequence[LiveUpdate]) -> None:
        for update in updates:
            await self._server.run(
                self._server.commands.execute_command, "PUBLISH", CHANNEL, encode(update)
            )

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[LiveUpdate | None]]:
        queue: _Queue = DropOldestQueue(MAX_WAITING)
        return self._server.subscription.listening(
            CHANNEL, queue, self._take, partial(self._disconnected, queue)
        )

    def _take(self, queue: _Queue, message: bytes) -> None:
        update = decode(message)
        if update is None:
            self.counts["malformed"] += 1
            return
        self.counts["received"] += 1
        if queue.put(update):
            self.counts["dropped"] += 1
            queue.put(None)

    def _disconnected(self, queue: _Queue) -> None:
        self.counts["disconnected"] += 1
        queue.put(None)
