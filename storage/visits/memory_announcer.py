"""The in-memory twin of storage/visits/announcer.py."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from engine.links.profile import ProfileChange
from storage.redis.subscription import DropOldestQueue
from storage.visits.announcer import MAX_WAITING


class MemoryPubSub:
    """A pub/sub server that announcers share. While `down`, announcements are lost."""

    def __init__(self) -> None:
        self.down = False
        self.listeners: set[DropOldestQueue[ProfileChange]] = set()


class MemoryAnnouncer:
    """`Announcer` in memory."""

    def __init__(self, channel: MemoryPubSub) -> None:
        self._channel = channel
        self.counts = dict.fromkeys(("announced", "failed", "received", "dropped"), 0)

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        await trio.lowlevel.checkpoint()
        self.counts["failed" if self._channel.down else "announced"] += len(changes)
        if not self._channel.down:
            for queue in self._channel.listeners:
                for change in changes:
                    self.counts["received"] += 1
                    self.counts["dropped"] += queue.put(change)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[ProfileChange]]:
        await trio.lowlevel.checkpoint()
        queue: DropOldestQueue[ProfileChange] = DropOldestQueue(MAX_WAITING)
        self._channel.listeners.add(queue)
        try:
            yield queue
        finally:
            self._channel.listeners.remove(queue)
