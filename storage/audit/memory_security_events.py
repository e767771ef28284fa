"""Security events in memory: the twin of storage.audit.security_events."""

import itertools
from collections.abc import Sequence

import trio

from engine.accounts.access import Caller, require_scope
from engine.audit.security_event import SecurityEvent, StoredSecurityEvent
from engine.common.list_page import ListPage


class MemorySecurityStore:
    """SecurityStore without a server."""

    def __init__(self) -> None:
        self.stored: list[StoredSecurityEvent] = []
        self._ids = itertools.count(1)

    async def write(self, events: Sequence[SecurityEvent]) -> None:
        await trio.lowlevel.checkpoint()
        self.stored += [StoredSecurityEvent(next(self._ids), event) for event in events]

    async def events(
        self, caller: Caller, before: int, limit: int, key_id: int | None = None
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "admin")
        events = [
            stored
            for stored in reversed(self.stored)
            if stored.event.tenant_id == caller.tenant_id
            and (not before or stored.id < before)
            and key_id in (None, stored.event.key_id)
        ]
        return ListPage.of(events, limit)
