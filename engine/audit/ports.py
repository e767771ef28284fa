"""Ports of the log of changes and of security events."""

from collections.abc import Sequence
from typing import Protocol

from engine.accounts.access import Caller
from engine.audit.audit_log import ActivityFilter
from engine.audit.security_event import SecurityEvent, SecurityEventKind
from engine.common.list_page import ListPage


class ActivityReader(Protocol):
    """The log of changes: newest first, at most `limit` entries before seq `before` (0: from the newest).

    To read a profile's log takes Action.READ_ACTIVITY.
    """

    async def of_profile(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage: ...

    async def of_tenant(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        """Return entries of the caller's own tenant: with profile 0 those of its users and keys, else those
        of a profile of the tenant. Any of its users may read the log of a deleted profile."""


class SecurityLog(Protocol):
    """The sink of security events, called while a request is answered. Never raises, never waits."""

    def note(
        self, kind: SecurityEventKind, caller: Caller | None, request_id: str, **detail: str | int
    ) -> None:
        """Note an event. `caller` is None if the request had no valid credentials. `detail`: a few short
        facts, never an address, an e-mail or a secret. Events with the same kind and caller are merged until
        they are written."""


class SecurityStore(Protocol):
    """Stored security events."""

    async def write(self, events: Sequence[SecurityEvent]) -> None:
        """Write all events or none. After UnavailableError they may have been written."""

    async def events(
        self, caller: Caller, before: int, limit: int, key_id: int | None = None
    ) -> ListPage:
        """Return StoredSecurityEvents of the caller's tenant, newest first, of ids below `before` (0: from
        the newest), and of one API key if `key_id` is given. Takes the scope admin."""
