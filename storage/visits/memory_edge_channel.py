"""The in-memory twin of storage/visits/edge_channel.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from storage.redis.subscription import DropOldestQueue
from storage.visits.edge_channel import MAX_WAITING


class MemoryEdgeBroker:
    """A server that channels share. Channels in `cut_off` neither send nor receive."""

    def __init__(self) -> None:
        self.listeners: dict[DropOldestQueue[bytes], MemoryEdgeChannel] = {}
        self.cut_off: set[MemoryEdgeChannel] = set()


class MemoryEdgeChannel:
    """`EdgeChannel` in memory."""

    def __init__(self, server: MemoryEdgeBroker) -> None:
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
