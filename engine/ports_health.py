"""Ports of the checks of links' targets, as engine/ports.py has the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from engine.link_health import Answer, Check, Checked, Probe


class Place(NamedTuple):
    """A link's key; links are walked in the order of these."""

    tenant_id: int
    link_id: int


START = Place(0, 0)


class HealthStore(Protocol):
    """What is known of targets, of all tenants."""

    async def discover(self, after: Place, limit: int) -> Place:
        """Look at the next links after one, and have those that are new, or lead elsewhere by now, checked.

        The last one looked at; START when those were the last of all.
        """

    async def due(self, limit: int) -> tuple[list[Check], datetime]:
        """Targets whose time has come, each once, and the time. Others do not get them for an hour."""

    async def write(self, checked: Sequence[Checked]) -> None: ...

    async def put_back(self, checks: Sequence[Check]) -> None:
        """There was no time for these."""


class Prober(Protocol):
    """Sends one request to whatever a link leads to."""

    async def send(self, probe: Probe) -> Answer:
        """Never raises for what the target or the network does. Follows no redirect. Bounded in bytes, and
        not in time: the caller cancels."""
