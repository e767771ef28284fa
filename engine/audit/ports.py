"""Ports of the log of changes and of security events."""

from collections.abc import Sequence
from typing import Protocol

from engine.accounts.access import Caller
from engine.audit.audit_log import ActivityFilter
from engine.audit.security_event import SecurityEvent, SecurityEventKind
from engine.common.list_page import ListPage


class ActivityReader(Protocol):
    """The log of changes: newest first, at most `limit` entries before seq `before` (0: from the newest).

    A profile's log is for its members, as Action.READ_ACTIVITY says.
    """

    async def of_profile(
        self, caller: Caller, profile_id: int, asked: ActivityFilter, before: int, limit: int
    ) -> ListPage: ...

    async def of_tenant(
        self, caller: Caller, profile_id: int, asked: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        """Of the caller's own tenant: with profile 0 its users and keys; else of a profile that lived
        there, which any of its users may read once the profile is deleted."""


class SecurityLog(Protocol):
    """Where doors say what concerns safety. Synchronous, never raises, never waits."""

    def note(
        self, kind: SecurityEventKind, caller: Caller | None, request_id: str, **detail: str | int
    ) -> None:
        """`caller` None: nobody was recognised. `detail`: a few short facts, never an address, an e-mail
        or a secret. The same again within a second is counted, not repeated."""


class SecurityStore(Protocol):
    async def write(self, events: Sequence[SecurityEvent]) -> None:
        """All of them, or nothing. A connection lost at the end may leave them written all the same."""

    async def events(self, caller: Caller, before: int, limit: int) -> ListPage:
        """StoredEvents of the caller's tenant, newest first, of ids below `before` (0: from the newest).
        Takes the scope admin."""
