"""The in-memory twins of storage/visits/daily_keys.py."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from engine.visits.daily_key import DailyKey, best
from storage.redis.subscription import DropOldestQueue
from storage.visits.daily_keys import MAX_WAITING


class MemoryKeyStore:
    """`LocalKeyStore`: edges of one machine share one object."""

    def __init__(self) -> None:
        self.keys: dict[int, DailyKey] = {}

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        self.keys = best([*self.keys.values(), *keys], now_us)
        return dict(self.keys)


class MemoryKeyBroker:
    """The server: several channels may share it. Who is in `cut_off` neither hears nor is heard."""

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
        heard = [w for w, channel in server.listeners.items() if channel not in server.cut_off]
        for waiting in heard:
            waiting.put(message)
        return len(heard)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        await trio.lowlevel.checkpoint()
        waiting: DropOldestQueue[bytes] = DropOldestQueue(MAX_WAITING)
        self._server.listeners[waiting] = self
        try:
            yield waiting
        finally:
            del self._server.listeners[waiting]
