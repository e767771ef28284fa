"""News of changes by Redis pub/sub.

Redis keys: none. The channel `waypost:changes` carries JSON, a list of [profile id, version,
deleted].

It is the fast way, and allowed to lose some: a message sent while a listener is not connected is
gone, and a listener that does not keep up loses the oldest. Whoever listens also polls Postgres.
"""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import trio
from redis.asyncio.client import PubSub

from engine.errors import UnavailableError
from engine.profile import Change
from storage.redis_client import RedisServer

CHANNEL: Final = "waypost:changes"
MAX_WAITING: Final = 10_000
_PER_MESSAGE: Final = 500
_ANNOUNCE_S: Final = 1.0
_LISTEN_S: Final = 10.0
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


class RedisAnnouncer:
    """`Announcer` on Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._counts = dict.fromkeys(
            ("announced", "failed", "received", "dropped", "malformed", "disconnected"), 0
        )

    def statistics(self) -> dict[str, int]:
        """Changes announced, failed, received, dropped by slow listeners; messages that were not
        ours; connections lost while listening."""
        return dict(self._counts)

    async def announce(self, changes: Sequence[Change]) -> None:
        """As the port says; gives up after a second."""
        told = 0
        with trio.move_on_after(_ANNOUNCE_S):
            try:
                for start in range(0, len(changes), _PER_MESSAGE):
                    part = changes[start : start + _PER_MESSAGE]
                    await self._server.ask(
                        self._server.commands.execute_command, "PUBLISH", CHANNEL, encode(part)
                    )
                    told += len(part)
            except UnavailableError:
                pass
        self._counts["announced"] += told
        self._counts["failed"] += len(changes) - told

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Change]]:
        """Changes, for as long as the context is open.

        Entering waits until the subscription stands, or has failed once: from then on it is tried
        again and again, unseen. The iterator never ends by itself.
        """
        waiting = Waiting(MAX_WAITING)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(self._follow, waiting)
            try:
                yield waiting
            except Exception as error:
                # Past the nursery, or it would come out wrapped in a group.
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _follow(
        self, waiting: "Waiting", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        failures = 0
        started = False
        while True:
            pubsub = self._server.pubsub()
            try:
                await self._server.ask(pubsub.subscribe, CHANNEL)
                if not started:
                    started = True
                    task_status.started()
                failures = 0
                await self._receive(pubsub, waiting)
            except UnavailableError:
                self._counts["disconnected"] += 1
            finally:
                with trio.CancelScope(shield=True), contextlib.suppress(UnavailableError):
                    await self._server.ask(pubsub.aclose)
            if not started:
                started = True
                task_status.started()
            await trio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _receive(self, pubsub: PubSub, waiting: "Waiting") -> None:
        while True:
            message: Any = await self._server.ask(
                pubsub.get_message, ignore_subscribe_messages=True, timeout=_LISTEN_S
            )
            if message is not None and message["type"] == "message":
                changes = decode(message["data"])
                self._counts["malformed"] += changes is None
                self._counts["received"] += len(changes or ())
                for change in changes or ():
                    self._counts["dropped"] += waiting.put(change)


class Waiting:
    """A bounded queue that one task empties; when it is full, the oldest makes room."""

    def __init__(self, limit: int) -> None:
        self._changes: deque[Change] = deque(maxlen=limit)
        self._arrived = trio.Event()

    def put(self, change: Change) -> bool:
        """Whether the oldest was dropped for it."""
        dropped = len(self._changes) == self._changes.maxlen
        self._changes.append(change)
        self._arrived.set()
        return dropped

    def __aiter__(self) -> "Waiting":
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self._changes.popleft()


def encode(changes: Sequence[Change]) -> bytes:
    return orjson.dumps([(change.profile_id, change.version, change.deleted) for change in changes])


def decode(data: bytes) -> list[Change] | None:
    """The changes of a message; None for one that is not ours."""
    try:
        return [
            Change(int(profile_id), int(version), bool(deleted))
            for profile_id, version, deleted in orjson.loads(data)
        ]
    except (ValueError, TypeError):
        return None
