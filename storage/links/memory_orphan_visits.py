"""Orphan visits in memory: the twin of storage.links.orphan_visits."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import trio

from engine.accounts.access import Caller
from engine.links.orphan_visits import MAX_LISTED, MAX_PATHS, OTHER, OrphanCount, OrphanPath
from storage.links.memory_domains import MemoryDomains


class MemoryOrphanVisits:
    """OrphanVisitStore and OrphanVisitLists over domains in memory. `now` returns an aware time."""

    def __init__(self, domains: MemoryDomains, now: Callable[[], datetime]) -> None:
        self._domains = domains
        self._now = now
        self._visits: dict[tuple[str, date], dict[str, int]] = {}

    async def add(self, counts: Sequence[OrphanCount]) -> None:
        today = self._now().date()
        for host, path, visits in sorted(counts, key=lambda count: (-count.visits, count.path)):
            if not await self._domains.is_verified(host):
                continue
            paths = self._visits.setdefault((host, today), {})
            name = path if path in paths or len(paths.keys() - {OTHER}) < MAX_PATHS else OTHER
            paths[name] = paths.get(name, 0) + visits

    async def orphans(self, caller: Caller, domain_id: int, days: int) -> list[OrphanPath]:
        await trio.lowlevel.checkpoint()
        host = (await self._domains.domain(caller, domain_id)).host
        first = self._now().date() - timedelta(days=days - 1)
        found: dict[str, OrphanPath] = {}
        for (of_host, day), paths in sorted(self._visits.items()):
            if of_host == host and day >= first:
                for path, visits in paths.items():
                    before = found[path].visits if path in found else 0
                    found[path] = OrphanPath(path, before + visits, day)
        return sorted(found.values(), key=lambda each: (-each.visits, each.path))[:MAX_LISTED]
