"""Ports of the checks of links' targets: stored states, and the prober."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from engine.links.health import CheckOutcome, DueCheck, Probe, ProbeResult


class LinkCursor(NamedTuple):
    """The position of a link in the order in which links are walked."""

    tenant_id: int
    link_id: int


START = LinkCursor(0, 0)


class LinkHealthStore(Protocol):
    """States of the targets of all tenants."""

    async def discover(self, after: LinkCursor, limit: int) -> LinkCursor:
        """Read `limit` links after a cursor, and add those that are new or have a new target.

        A target's state is shared by the tenant's links; a target without a state is due at once.
        Returns the cursor of the last link read; START if fewer than `limit` links were left.
        """

    async def claim(self, limit: int) -> tuple[list[DueCheck], datetime]:
        """Claim at most `limit` due targets for an hour. Returns them, each once, and the database's time."""

    async def record(self, outcomes: Sequence[CheckOutcome]) -> None:
        """Record the outcomes of checks and the times of the next ones."""

    async def release(self, checks: Sequence[DueCheck]) -> None:
        """Make claimed targets due again: there was no time to check them."""


class Prober(Protocol):
    """A sender of single requests to links' targets."""

    async def send(self, probe: Probe) -> ProbeResult:
        """Send one request, without following redirects. Returns failures of the target and the network as
        results. Bounded in bytes and not in time: the caller cancels."""
