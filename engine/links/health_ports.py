"""Ports of the checks of links' targets, as engine/links/ports.py has the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from engine.links.health import CheckOutcome, DueCheck, Probe, ProbeResult


class LinkCursor(NamedTuple):
    """A link's key; links are walked in the order of these."""

    tenant_id: int
    link_id: int


START = LinkCursor(0, 0)


class LinkHealthStore(Protocol):
    """What is known of targets, of all tenants."""

    async def discover(self, after: LinkCursor, limit: int) -> LinkCursor:
        """Look at the next links after one, and have those that are new, or lead elsewhere by now, checked.

        The last one looked at; START when those were the last of all.
        """

    async def claim(self, limit: int) -> tuple[list[DueCheck], datetime]:
        """Targets whose time has come, each once, and the time. Others do not get them for an hour."""

    async def record(self, checked: Sequence[CheckOutcome]) -> None: ...

    async def release(self, checks: Sequence[DueCheck]) -> None:
        """There was no time for these."""


class Prober(Protocol):
    """Sends one request to whatever a link leads to."""

    async def send(self, probe: Probe) -> ProbeResult:
        """Never raises for what the target or the network does. Follows no redirect. Bounded in bytes, and
        not in time: the caller cancels."""
