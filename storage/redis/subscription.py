"""Subscriptions to Redis channels, renewed after each lost connection."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, TypeVar

import trio
from redis.asyncio.client import PubSub

from engine.common.errors import UnavailableError
from storage.redis.client import RedisServer

T = TypeVar("T")

# A server whose host is gone ends no connection, so it has to be asked.
_PING_EVERY_S: Final = 5.0
SILENCE_S: Final = 14.0
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


async def follow(
    server: RedisServer,
    channel: str,
    on_message: Callable[[bytes], None],
    on_disconnect: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `on_message` for each message and `on_disconnect` for each failed connection, until cancelled.

    A subscription that was lost is renewed, on another node of a cluster. The task counts as started after the
    subscription or its first failure. Messages that are sent while there
    is no subscription are lost.
    """
    failures = 0
    started = False
    while True:
        pubsub: PubSub | None = None
        try:
            pubsub = await server.subscriber()
            await server.run(pubsub.subscribe, channel)
            if not started:
                started = True
                task_status.started()
            failures = 0
            await _receive(server, pubsub, on_message)
        except UnavailableError:
            on_disconnect()
        finally:
            if pubsub is not None:
                with trio.CancelScope(shield=True), contextlib.suppress(UnavailableError):
                    await server.run(pubsub.aclose)
        if not started:
            started = True
            task_status.started()
        await trio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
        failures += 1


async def _receive(
    server: RedisServer, pubsub: PubSub, on_message: Callable[[bytes], None]
) -> None:
    """Pass messages on. Raises UnavailableError when the server is silent for SILENCE_S, PINGs included."""
    heard_at = trio.current_time()
    while True:
        message: Any = await server.run(
            pubsub.get_message, ignore_subscribe_messages=True, timeout=_PING_EVERY_S
        )
        now = trio.current_time()
        if message is not None:
            heard_at = now
            if message["type"] == "message":
                on_message(message["data"])
        elif now - heard_at >= SILENCE_S:
            raise UnavailableError(f"Redis has sent nothing for {SILENCE_S:g} s, not even a PONG")
        elif now - heard_at >= _PING_EVERY_S:
            await server.run(pubsub.ping)


@asynccontextmanager
async def listening(
    server: RedisServer,
    channel: str,
    queue: "DropOldestQueue[T]",
    on_message: Callable[["DropOldestQueue[T]", bytes], None],
    on_disconnect: Callable[[], None],
) -> AsyncIterator[AsyncIterator[T]]:
    """Yield `queue`; until the context ends, `on_message(queue, message)` fills it with each message."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(follow, server, channel, partial(on_message, queue), on_disconnect)
        try:
            yield queue
        except Exception as error:
            # Raised after the nursery, because the nursery would wrap it in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class DropOldestQueue(Generic[T]):
    """A bounded queue for one consuming task. A full queue drops its oldest item."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque(maxlen=limit)
        self._arrived = trio.Event()

    def put(self, item: T) -> bool:
        """Append an item. Returns whether the oldest was dropped for it."""
        dropped = len(self._items) == self._items.maxlen
        self._items.append(item)
        self._arrived.set()
        return dropped

    def __aiter__(self) -> "DropOldestQueue[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self._items.popleft()
