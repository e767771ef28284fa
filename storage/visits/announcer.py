"""Announcements of changes by Redis pub/sub.

Redis keys: none. The channel `waypost:changes` carries JSON, a list of [profile id, version,
deleted].

Announcements are fast and may be lost: a listener that is not connected gets none, and a listener that falls
behind loses the oldest. Every listener therefore also polls Postgres.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import orjson
import trio

from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from engine.operations.metrics import Metric, Sample
from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue

CHANNEL: Final = "waypost:changes"
MAX_WAITING: Final = 10_000
_PER_MESSAGE: Final = 500
_ANNOUNCE_S: Final = 1.0

LOST_ANNOUNCEMENTS: Final = Metric(
    "waypost_announcements_lost_total", "Changes that were not announced and left to polling"
)


class RedisAnnouncer:
    """`Announcer` on Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.counts = dict.fromkeys(
            ("announced", "failed", "received", "dropped", "malformed", "disconnected"), 0
        )

    def samples(self) -> list[Sample]:
        return [LOST_ANNOUNCEMENTS.sample(self.counts["failed"])]

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        """Announce the changes. Gives up after one second, and counts the rest as failed."""
        announced = 0
        with trio.move_on_after(_ANNOUNCE_S):
            try:
                for start in range(0, len(changes), _PER_MESSAGE):
                    part = changes[start : start + _PER_MESSAGE]
                    await self._server.run(
                        self._server.commands.execute_command, "PUBLISH", CHANNEL, encode(part)
                    )
                    announced += len(part)
            except UnavailableError:
                pass
        self.counts["announced"] += announced
        self.counts["failed"] += len(changes) - announced

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[ProfileChange]]:
        """Iterate over announced changes for as long as the context is open.

        Entering waits for the subscription or its first failure. A lost subscription is renewed in the
        background; the iterator never ends by itself.
        """
        queue: DropOldestQueue[ProfileChange] = DropOldestQueue(MAX_WAITING)
        return self._server.subscription.listening(
            CHANNEL, queue, self._receive, self._count_disconnect
        )

    def _count_disconnect(self) -> None:
        self.counts["disconnected"] += 1

    def _receive(self, queue: DropOldestQueue[ProfileChange], message: bytes) -> None:
        changes = decode(message)
        self.counts["malformed"] += changes is None
        self.counts["received"] += len(changes or ())
        for change in changes or ():
            self.counts["dropped"] += queue.put(change)


def encode(changes: Sequence[ProfileChange]) -> bytes:
    return orjson.dumps([(change.profile_id, change.version, change.deleted) for change in changes])


def decode(data: bytes) -> list[ProfileChange] | None:
    """Return the changes in a message; None if the message is malformed."""
    try:
        return [
            ProfileChange(int(profile_id), int(version), bool(deleted))
            for profile_id, version, deleted in orjson.loads(data)
        ]
    except (ValueError, TypeError):
        return None
