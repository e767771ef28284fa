"""Security events in memory: the twin of storage.security_log."""

import itertools
from collections.abc import Sequence

import trio

from engine.access import Caller, demand_scope
from engine.ports import Page
from engine.security import Event, StoredEvent


class MemorySecurityEvents:
    """SecurityStore without a server."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self._ids = itertools.count(1)

    async def write(self, events: Sequence[Event]) -> None:
        await trio.lowlevel.checkpoint()
        self.stored += [StoredEvent(next(self._ids), event) for event in events]

    async def events(self, caller: Caller, before: int, limit: int) -> Page:
        await trio.lowlevel.checkpoint()
        demand_scope(caller, "admin")
        found = [
            stored
            for stored in reversed(self.stored)
            if stored.event.tenant_id == caller.tenant_id and (not before or stored.id < before)
        ]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)
