"""How long a connection may rest between requests, or take for a head.

One task waits for as long as the connection lives, and setting the time moves its deadline: a task started
and cancelled for each request costs a tenth of what a small request does.
"""

from collections.abc import Awaitable, Callable
from math import inf

import trio
from hypercorn.typing import Event


class IdleTimer:
    """`ended` is set once the server ends: from then on whatever rests has rested long enough."""

    def __init__(self, ended: Event) -> None:
        self._ended = ended
        self._deadline = inf
        self._life = trio.CancelScope()
        self._rest = trio.CancelScope()

    def set(self, seconds: float) -> None:
        """It rests from now on, for so long at most."""
        self._move(trio.current_time() + (0 if self._ended.is_set() else seconds))

    def stop(self) -> None:
        """It does not rest any more."""
        self._move(inf)

    def close(self) -> None:
        """Nobody needs to know any more; what `run` has begun to do is done."""
        self._life.cancel()

    async def run(self, close: Callable[[], Awaitable[None]]) -> None:
        """`await close()`, shielded, when it has rested long enough."""
        with self._life:
            await self._rested()
            with trio.CancelScope(shield=True):
                await close()

    async def _rested(self) -> None:
        while trio.current_time() < self._deadline:
            with trio.CancelScope(deadline=self._deadline) as self._rest:
                await self._ended.wait()
                if self._deadline < inf:
                    return
                await trio.sleep_forever()

    def _move(self, deadline: float) -> None:
        self._deadline = self._rest.deadline = deadline
