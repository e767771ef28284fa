"""Checks of links' targets in memory: the twin of storage/links/health.py, and a prober that is told answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import trio

from engine.links.health import (
    CheckOutcome,
    DueCheck,
    LinkHealth,
    LinkHealthState,
    Probe,
    ProbeResult,
)
from engine.links.health_ports import START, LinkCursor
from engine.links.link import Link
from storage.links.memory_profiles import MemoryProfiles

GUARD = timedelta(hours=1)


@dataclass
class _TargetRow:
    """What is known of a target, for all of a tenant's links to it."""

    next_at: datetime
    state: LinkHealthState = "unknown"
    status: int | None = None
    reason: str = ""
    failures: int = 0
    checked_at: datetime | None = None
    since: datetime | None = None


class MemoryLinkHealthStore:
    """LinkHealthStore over the links of `profiles`, which shows them its rows."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime]) -> None:
        self._profiles = profiles
        self._now = now
        self._rows: dict[tuple[int, str], _TargetRow] = {}
        self._seen: dict[tuple[int, int], str] = {}  # the target of each link that was discovered
        profiles.with_health = self._shown

    def _shown(self, link: Link) -> LinkHealth | None:
        found = [
            t for (t, id_), target in self._seen.items() if (id_, target) == (link.id, link.target)
        ]
        row = self._rows.get((found[0], link.target)) if found else None
        if row is None or row.checked_at is None or row.since is None:
            return None
        return LinkHealth(
            state=row.state,
            status=row.status,
            reason=row.reason,
            checked_at=row.checked_at,
            since=row.since,
        )

    async def discover(self, after: LinkCursor, limit: int) -> LinkCursor:
        await trio.lowlevel.checkpoint()
        links = sorted((LinkCursor(t, link.id), link) for t, link in self._profiles.all_links())
        looked = [(place, link) for place, link in links if place > after][:limit]
        for place, link in looked:
            if link.kind in ("url", "github"):
                self._seen[place] = link.target
                self._rows.setdefault((place.tenant_id, link.target), _TargetRow(self._now()))
        return looked[-1][0] if len(looked) == limit else START

    async def claim(self, limit: int) -> tuple[list[DueCheck], datetime]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        there = {(tenant_id, link.target) for tenant_id, link in self._profiles.all_links()}
        ready = [
            (r.next_at, key) for key, r in self._rows.items() if r.next_at <= now and key in there
        ]
        found = []
        for _, key in sorted(ready)[:limit]:
            row = self._rows[key]
            row.next_at = now + GUARD
            found.append(DueCheck(*key, row.state, row.failures))
        return found, now

    async def record(self, checked: Sequence[CheckOutcome]) -> None:
        await trio.lowlevel.checkpoint()
        now = self._now()
        for one in checked:
            row = self._rows[one.check.tenant_id, one.check.target]
            if row.state != one.state or row.since is None:
                row.since = now
            row.state, row.status, row.reason = one.state, one.status, one.reason
            row.failures, row.next_at, row.checked_at = one.failures, one.next_at, now

    async def release(self, checks: Sequence[DueCheck]) -> None:
        await trio.lowlevel.checkpoint()
        for check in checks:
            self._rows[check.tenant_id, check.target].next_at = self._now()


class MemoryProber:
    """Prober that answers by URL what it was told, and 200 otherwise. An answer takes `takes_s`."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.answers: dict[tuple[str, str] | str, ProbeResult] = {}
        self.ledger: list[tuple[float, Probe]] = []

    async def send(self, probe: Probe) -> ProbeResult:
        self.ledger.append((trio.current_time(), probe))
        await trio.sleep(self.takes_s)
        told = self.answers.get(probe.url, ProbeResult(200))
        return self.answers.get((probe.method, probe.url), told)
