"""The in-memory twins of storage/visits/daily_keys.py."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from engine.visits.daily_key import DailyKey, best
from storage.redis.subscription import DropOldestQueue
from storage.visits.daily_keys import MAX_WAITING


class MemoryKeyStore:
    """`LocalKeyStore` in memory: the edges of one machine share the object."""

    def __init__(self) -> None:
        self.keys: dict[int, DailyKey] = {}

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        self.keys = best([*self.keys.values(), *keys], now_us)
        return dict(self.keys)


class MemoryKeyBroker:
    """A server that channels share. Channels in `cut_off` neither send nor receive."""

    def __init__(self) -> None:
        self.listeners: dict[DropOldestQueue[bytes], MemoryDailyKeyChannel] = {}
        self.cut_off: set[MemoryDailyKeyChannel] = set()


class MemoryDailyKeyChannel:
    """`DailyKeyChannel` in memory."""

    def __init__(self, server: MemoryKeyBroker) -> None:
        self._server = server

    async def send(self, message: bytes) -> int | None:
        await trio.lowlevel.checkpoint()
        server = self._server
        if self in server.cut_off:
            return 0
        queues = [w for w, channel in server.listeners.items() if channel not in server.cut_off]
        for queue in queues:
            queue.put(message)
        return len(queues)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        await trio.lowlevel.checkpoint()
        queue: DropOldestQueue[bytes] = DropOldestQueue(MAX_WAITING)
        self._server.listeners[queue] = self
        try:
            yield queue
        finally:
            del self._server.listeners[queue]
