"""Timer of a connection: how long it may be idle between requests, or take for a head.

One task waits for as long as the connection lives, and setting the time moves its deadline: a task started
and cancelled for each request costs a tenth of what a small request does.
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol

import trio


class EndEvent(Protocol):
    """The event that the server ends."""

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


class IdleTimer:
    """Closes a connection that is idle too long, or at all once `ended` is set: the server ends."""

    def __init__(self, ended: EndEvent) -> None:
        self._ended = ended
        self._deadline = inf
        self._life = trio.CancelScope()
        self._wait = trio.CancelScope()

    def set(self, seconds: float) -> None:
        """Allow `seconds` from now; none at all once the server ends."""
        self._move(trio.current_time() + (0 if self._ended.is_set() else seconds))

    def stop(self) -> None:
        """Stop the clock: a request is being handled."""
        self._move(inf)

    def close(self) -> None:
        """End `run`. A close that it has begun is finished."""
        self._life.cancel()

    async def run(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call `close`, shielded from cancellation, once the time has passed."""
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
