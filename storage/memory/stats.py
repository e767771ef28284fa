"""The in-memory twin of storage/stats.py."""

from datetime import UTC, datetime, timedelta

import trio

from engine import calendar
from engine.rollup import Stats, StatsQuery, StatsRow
from storage.memory.ledger import MemoryCounts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryStatsReader:
    """`StatsReader` over the counts of a memory ledger."""

    def __init__(self, counts: MemoryCounts) -> None:
        self._counts = counts

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Raises InvalidError for an unknown time zone."""
        tz = calendar.zone(query.tz)
        await trio.lowlevel.checkpoint()
        sums: dict[datetime, tuple[int, int, int]] = {}
        for key, (clicks, views, bots) in self._counts.rollups.items():
            bucket = _EPOCH + timedelta(microseconds=key.bucket_us)
            if (
                (key.tenant_id, key.profile_id) == (tenant_id, profile_id)
                and query.start <= bucket < query.end
                and query.link_id in (None, key.link_id)
            ):
                # Two datetimes of one zone compare by the wall: only UTC tells a doubled hour
                # apart.
                start = calendar.start(bucket, query.interval, tz).astimezone(UTC)
                before = sums.get(start, (0, 0, 0))
                sums[start] = (before[0] + clicks, before[1] + views, before[2] + bots)
        rows = tuple(StatsRow(start.astimezone(tz), *sums[start]) for start in sorted(sums))
        return Stats(rows=rows, as_of=self._counts.committed_at)
