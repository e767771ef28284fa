"""Turns of tenants at work of which only some may run at once, such as decoding pictures.

A tenant that wants many turns gets them one after the other while others wait, and all while nobody does.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from engine.common.errors import UnavailableError


class FairTurns:
    """`total` turns at once. Waiting callers are served tenant by tenant, each tenant's in their order."""

    def __init__(self, total: int, wait_limit_s: float) -> None:
        self._free = total
        self._wait_limit_s = wait_limit_s
        self._waiting: OrderedDict[int, deque[trio.Event]] = OrderedDict()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def taken(self, tenant_id: int) -> AsyncIterator[None]:
        """Take a turn for the block. Raises UnavailableError if none is free within the limit."""
        await self._take(tenant_id)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, tenant_id: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn = trio.Event()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        try:
            with trio.move_on_after(self._wait_limit_s):
                await turn.wait()
        except BaseException:
            if turn.is_set():  # at the moment of the cancellation
                self._give_back()
            raise
        finally:
            if not turn.is_set():
                self._leave(tenant_id, turn)
        if not turn.is_set():
            raise UnavailableError("too many uploads are waiting; try again later")

    def _leave(self, tenant_id: int, turn: trio.Event) -> None:
        waiting = self._waiting[tenant_id]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[tenant_id]

    def _give_back(self) -> None:
        """Hand the turn to the tenant that waits longest for one, or keep it free."""
        if not self._waiting:
            self._free += 1
            return
        tenant_id, waiting = self._waiting.popitem(last=False)
        waiting.popleft().set()
        if waiting:
            self._waiting[tenant_id] = waiting
