"""The one subscription of a process to the channels that it listens to, renewed after each lost connection.

All listeners of a process share one connection. The first one keeps it, in its own task, for the others too;
when it leaves, the next one opens another. So a connection lives as long as somebody listens, and needs no
task of its own. Messages that are sent while there is no connection are lost.
"""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, NoReturn, ParamSpec, Protocol, TypeVar

import trio
from redis.asyncio.client import PubSub

from engine.common.errors import UnavailableError

T = TypeVar("T")
P = ParamSpec("P")

# A server whose host is gone ends no connection, so it has to be asked.
_PING_EVERY_S: Final = 5.0
SILENCE_S: Final = 14.0
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


class SubscribableServer(Protocol):
    """A server that gives connections for subscriptions. Both methods raise UnavailableError."""

    async def subscriber(self) -> PubSub: ...

    async def run(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


class _Listener:
    def __init__(
        self, on_message: Callable[[bytes], None], on_disconnect: Callable[[], None]
    ) -> None:
        self.on_message = on_message
        self.on_disconnect = on_disconnect


class Subscription:
    """The subscription of one process; `listening` may be entered any number of times."""

    def __init__(self, server: SubscribableServer) -> None:
        self._server = server
        self._listeners: dict[str, list[_Listener]] = {}
        self._keeper = trio.Lock()
        # While it is connected and has all channels that there were at that time.
        self._pubsub: PubSub | None = None
        self._attempted = trio.Event()

    @asynccontextmanager
    async def listening(
        self,
        channel: str,
        queue: "DropOldestQueue[T]",
        on_message: Callable[["DropOldestQueue[T]", bytes], None],
        on_disconnect: Callable[[], None],
    ) -> AsyncIterator[AsyncIterator[T]]:
        """Yield `queue`; until the context ends, `on_message(queue, message)` fills it with each message.

        Entering waits until the channel is subscribed to, or for the first failure. `on_disconnect` is called
        for each connection that fails or ends meanwhile.
        """
        failure: Exception | None = None
        listener = _Listener(partial(on_message, queue), on_disconnect)
        async with trio.open_nursery() as nursery:
            self._listeners.setdefault(channel, []).append(listener)
            try:
                nursery.start_soon(self._keep)
                await self._join(channel, listener)
                yield queue
            except Exception as error:
                # Raised after the nursery, because the nursery would wrap it in a group.
                failure = error
            finally:
                await self._leave(channel, listener)
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _join(self, channel: str, listener: _Listener) -> None:
        if self._pubsub is None:
            await self._attempted.wait()
            return
        try:
            await self._server.run(self._pubsub.subscribe, channel)
        except UnavailableError:
            listener.on_disconnect()  # the keeper notices it too, and connects again

    async def _leave(self, channel: str, listener: _Listener) -> None:
        self._listeners[channel].remove(listener)
        if self._listeners[channel]:
            return
        del self._listeners[channel]
        if self._pubsub is not None:
            with trio.CancelScope(shield=True), contextlib.suppress(UnavailableError):
                await self._server.run(self._pubsub.unsubscribe, channel)

    async def _keep(self) -> None:
        """Keep the connection until cancelled; wait while another listener does."""
        async with self._keeper:
            failures = 0
            while True:
                if await self._connect_and_receive():
                    failures = 0
                await trio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1

    async def _connect_and_receive(self) -> bool:
        """Pass messages on until the connection fails, a cluster's to another node than before. Returns
        whether there was one."""
        pubsub: PubSub | None = None
        try:
            pubsub = await self._server.subscriber()
            subscribed: set[str] = set()
            while missing := self._listeners.keys() - subscribed:
                await self._server.run(pubsub.subscribe, *missing)
                subscribed |= missing
            self._pubsub = pubsub
            self._note_attempt()
            await self._receive(pubsub)
        except UnavailableError:
            return self._pubsub is not None
        finally:
            self._pubsub = None
            self._note_attempt()
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.on_disconnect()
            if pubsub is not None:
                with trio.CancelScope(shield=True), contextlib.suppress(UnavailableError):
                    await self._server.run(pubsub.aclose)

    def _note_attempt(self) -> None:
        self._attempted.set()
        self._attempted = trio.Event()

    async def _receive(self, pubsub: PubSub) -> NoReturn:
        """Pass messages on. Raises UnavailableError when the server is silent for SILENCE_S, PINGs included."""
        heard_at = trio.current_time()
        while True:
            message: Any = await self._server.run(
                pubsub.get_message, ignore_subscribe_messages=True, timeout=_PING_EVERY_S
            )
            now = trio.current_time()
            if message is not None:
                heard_at = now
                if message["type"] == "message":
                    self._pass_on(message["channel"].decode(), message["data"])
            elif now - heard_at >= SILENCE_S:
                raise UnavailableError(
                    f"Redis has sent nothing for {SILENCE_S:g} s, not even a PONG"
                )
            elif now - heard_at >= _PING_EVERY_S:
                await self._server.run(pubsub.ping)

    def _pass_on(self, channel: str, data: bytes) -> None:
        for listener in self._listeners.get(channel, ()):
            listener.on_message(data)


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
