"""Channels between the edges of all machines by Redis pub/sub.

Redis keys: none. The channel `waypost:visitor-keys` carries greetings and offers of daily keys,
`waypost:entrances` entrances of visitors. Redis writes messages to no append-only file and no dump; `SET` would
put a key on its disk. A message may be lost, and a listener that falls behind loses the oldest.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue

DAILY_KEYS: Final = "waypost:visitor-keys"
ENTRANCES: Final = "waypost:entrances"
MAX_WAITING: Final = 1_000
_SEND_S: Final = 1.0

LOST_MESSAGES: Final = Metric(
    "waypost_edge_messages_lost_total",
    "Messages of a channel between edges that could not be sent (failed) or taken in time (dropped)",
    ("channel", "reason"),
)


class RedisEdgeChannel:
    """`EdgeChannel` on Redis."""

    def __init__(self, server: RedisServer, channel: str) -> None:
        self._server = server
        self._channel = channel
        self.counts = dict.fromkeys(("sent", "failed", "received", "dropped", "disconnected"), 0)

    def samples(self) -> list[Sample]:
        reasons = ("failed", "dropped")
        return [LOST_MESSAGES.sample(self.counts[r], self._channel, r) for r in reasons]

    async def send(self, message: bytes) -> int | None:
        with trio.move_on_after(_SEND_S):
            try:
                receivers = await self._server.run(
                    self._server.commands.execute_command, "PUBLISH", self._channel, message
                )
            except UnavailableError:
                pass
            else:
                self.counts["sent"] += 1
                # A node of a cluster counts its own listeners only.
                return None if self._server.clustered else int(receivers)
        self.counts["failed"] += 1
        return 0

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        queue: DropOldestQueue[bytes] = DropOldestQueue(MAX_WAITING)
        return self._server.subscription.listening(
            self._channel, queue, self._receive, self._count_disconnect
        )

    def _receive(self, queue: DropOldestQueue[bytes], message: bytes) -> None:
        self.counts["received"] += 1
        self.counts["dropped"] += queue.put(message)

    def _count_disconnect(self) -> None:
        self.counts["disconnected"] += 1
