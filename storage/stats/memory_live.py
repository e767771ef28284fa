"""Live updates in memory: the twin of storage/stats/live.py."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from engine.stats.live import LiveUpdate
from engine.stats.ports import MAX_SUBSCRIBED, SUBSCRIPTION_S
from storage.redis.subscription import DropOldestQueue


class MemoryLiveChannel:
    """LiveChannel that workers and consoles share. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[int, float] = {}
        self._listeners: set[DropOldestQueue[LiveUpdate | None]] = set()

    async def subscribe(self, profiles: Sequence[int]) -> None:
        await trio.lowlevel.checkpoint()
        self._until |= dict.fromkeys(profiles, self._clock() + SUBSCRIPTION_S)

    async def subscribed_profiles(self) -> frozenset[int]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return frozenset(
            [profile for profile, until in self._until.items() if until >= now][:MAX_SUBSCRIBED]
        )

    async def publish(self, updates: Sequence[LiveUpdate]) -> None:
        await trio.lowlevel.checkpoint()
        for update in updates:
            for queue in self._listeners:
                queue.put(update)

    def lose(self) -> None:
        """Lose updates, as Redis does when a connection ends."""
        for queue in self._listeners:
            queue.put(None)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[LiveUpdate | None]]:
        await trio.lowlevel.checkpoint()
        queue: DropOldestQueue[LiveUpdate | None] = DropOldestQueue(1_000)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.remove(queue)
