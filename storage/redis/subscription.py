"""Listening to a Redis channel, for as long as it takes: connections that are lost are made again."""

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

_LISTEN_S: Final = 10.0
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


async def follow(
    server: RedisServer,
    channel: str,
    heard: Callable[[bytes], None],
    lost: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `heard` for each message and `lost` for each connection that failed, until cancelled.

    It is started once the subscription stands, or has failed once. What is sent while it does not stand is
    not heard.
    """
    failures = 0
    started = False
    while True:
        pubsub = server.pubsub()
        try:
            await server.run(pubsub.subscribe, channel)
            if not started:
                started = True
                task_status.started()
            failures = 0
            await _receive(server, pubsub, heard)
        except UnavailableError:
            lost()
        finally:
            with trio.CancelScope(shield=True), contextlib.suppress(UnavailableError):
                await server.run(pubsub.aclose)
        if not started:
            started = True
            task_status.started()
        await trio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
        failures += 1


async def _receive(server: RedisServer, pubsub: PubSub, heard: Callable[[bytes], None]) -> None:
    while True:
        message: Any = await server.run(
            pubsub.get_message, ignore_subscribe_messages=True, timeout=_LISTEN_S
        )
        if message is not None and message["type"] == "message":
            heard(message["data"])


@asynccontextmanager
async def listening(
    server: RedisServer,
    channel: str,
    waiting: "DropOldestQueue[T]",
    heard: Callable[["DropOldestQueue[T]", bytes], None],
    lost: Callable[[], None],
) -> AsyncIterator[AsyncIterator[T]]:
    """`waiting`, which `heard` puts into what messages say, for as long as the context is open."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(follow, server, channel, partial(heard, waiting), lost)
        try:
            yield waiting
        except Exception as error:
            # Past the nursery, or it would come out wrapped in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class DropOldestQueue(Generic[T]):
    """A bounded queue that one task empties; when it is full, the oldest makes room."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque(maxlen=limit)
        self._arrived = trio.Event()

    def put(self, one: T) -> bool:
        """Whether the oldest was dropped for it."""
        dropped = len(self._items) == self._items.maxlen
        self._items.append(one)
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
