"""Timer of a connection: its time to be idle between requests, or to send a head.

One task waits as long as the connection lives, and set() moves its deadline. To start and cancel a task for
each request would cost a tenth of a small request.
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol

import trio


class EndEvent(Protocol):
    """An event that is set when the server ends."""

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


class IdleTimer:
    """Timer that closes its connection after too long an idle time, or idle at all once `ended` is set."""

    def __init__(self, ended: EndEvent) -> None:
        self._ended = ended
        self._deadline = inf
        self._life = trio.CancelScope()
        self._wait = trio.CancelScope()

    def set(self, seconds: float) -> None:
        """Expire in `seconds`, or at once if the server is ending."""
        self._move(trio.current_time() + (0 if self._ended.is_set() else seconds))

    def stop(self) -> None:
        """Stop the clock: a request is being handled."""
        self._move(inf)

    def close(self) -> None:
        """End run(). A close() of the connection that it has begun runs to its end."""
        self._life.cancel()

    async def run(self, close: Callable[[], Awaitable[None]]) -> None:
        """Wait until the timer expires, then call `close`, shielded from cancellation."""
        with self._life:
            await self._expired()
            with trio.CancelScope(shield=True):
                await close()

    async def _expired(self) -> None:
        while trio.current_time() < self._deadline:
            with trio.CancelScope(deadline=self._deadline) as self._wait:
                await self._ended.wait()
                if self._deadline < inf:
                    return
                await trio.sleep_forever()

    def _move(self, deadline: float) -> None:
        self._deadline = self._wait.deadline = deadline
