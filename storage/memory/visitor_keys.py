"""The in-memory twins of storage/visitor_keys.py."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from engine.visitor_key import DayKey, best
from storage.subscription import Waiting
from storage.visitor_keys import MAX_WAITING


class MemoryShelf:
    """`VisitorKeyShelf`: edges of one machine share one object."""

    def __init__(self) -> None:
        self.keys: dict[int, DayKey] = {}

    def exchange(self, keys: Sequence[DayKey], now_us: int) -> dict[int, DayKey]:
        self.keys = best([*self.keys.values(), *keys], now_us)
        return dict(self.keys)


class MemoryKeyServer:
    """The server: several channels may share it. Who is in `cut_off` neither hears nor is heard."""

    def __init__(self) -> None:
        self.listeners: dict[Waiting[bytes], MemoryKeyChannel] = {}
        self.cut_off: set[MemoryKeyChannel] = set()


class MemoryKeyChannel:
    """`VisitorKeyChannel` in memory."""

    def __init__(self, server: MemoryKeyServer) -> None:
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
        waiting: Waiting[bytes] = Waiting(MAX_WAITING)
        self._server.listeners[waiting] = self
        try:
            yield waiting
        finally:
            del self._server.listeners[waiting]
