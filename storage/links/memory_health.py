"""Checks of links' targets in memory: the twin of storage/links/health.py, and a prober with set results."""

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
    """The health of a target, shared by all links of a tenant that lead to it."""

    next_at: datetime
    state: LinkHealthState = "unknown"
    status: int | None = None
    reason: str = ""
    failures: int = 0
    checked_at: datetime | None = None
    since: datetime | None = None


class MemoryLinkHealthStore:
    """LinkHealthStore over the links of `profiles`, which returns them with their health."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime]) -> None:
        self._profiles = profiles
        self._now = now
        self._rows: dict[tuple[int, str], _TargetRow] = {}
        # (tenant id, link id) of each discovered link → its target then.
        self._discovered: dict[tuple[int, int], str] = {}
        profiles.with_health = self._health

    def _health(self, link: Link) -> LinkHealth | None:
        tenants = [
            tenant_id
            for (tenant_id, link_id), target in self._discovered.items()
            if (link_id, target) == (link.id, link.target)
        ]
        row = self._rows.get((tenants[0], link.target)) if tenants else None
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
        batch = [(cursor, link) for cursor, link in links if cursor > after][:limit]
        for cursor, link in batch:
            if link.kind in ("url", "github"):
                self._discovered[cursor] = link.target
                self._rows.setdefault((cursor.tenant_id, link.target), _TargetRow(self._now()))
        return batch[-1][0] if len(batch) == limit else START

    async def claim(self, limit: int) -> tuple[list[DueCheck], datetime]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        linked = {(tenant_id, link.target) for tenant_id, link in self._profiles.all_links()}
        ready = [
            (r.next_at, key) for key, r in self._rows.items() if r.next_at <= now and key in linked
        ]
        checks = []
        for _, key in sorted(ready)[:limit]:
            row = self._rows[key]
            row.next_at = now + GUARD
            checks.append(DueCheck(*key, row.state, row.failures))
        return checks, now

    async def record(self, checked: Sequence[CheckOutcome]) -> None:
        await trio.lowlevel.checkpoint()
        now = self._now()
        for outcome in checked:
            row = self._rows[outcome.check.tenant_id, outcome.check.target]
            if row.state != outcome.state or row.since is None:
                row.since = now
            row.state, row.status, row.reason = outcome.state, outcome.status, outcome.reason
            row.failures, row.next_at, row.checked_at = outcome.failures, outcome.next_at, now

    async def release(self, checks: Sequence[DueCheck]) -> None:
        await trio.lowlevel.checkpoint()
        for check in checks:
            self._rows[check.tenant_id, check.target].next_at = self._now()


class MemoryProber:
    """Prober that returns `results` by URL, or by (method, URL), else 200; each takes `takes_s` seconds."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.results: dict[tuple[str, str] | str, ProbeResult] = {}
        self.probes: list[tuple[float, Probe]] = []  # with the time in seconds

    async def send(self, probe: Probe) -> ProbeResult:
        self.probes.append((trio.current_time(), probe))
        await trio.sleep(self.takes_s)
        result = self.results.get(probe.url, ProbeResult(200))
        return self.results.get((probe.method, probe.url), result)
