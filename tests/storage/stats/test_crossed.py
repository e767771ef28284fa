"""Stats of two crossed dimensions without a server: merging of Postgres' rows."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from engine.stats.plan import RawClicksPlan, plan
from engine.stats.query_parser import parse_query
from engine.stats.result import MetricValues, Stats
from storage.stats.crossed import crossed
from storage.stats.statements import ProfileKey

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PARAMETERS = [("group", "utm_campaign,utm_term"), ("from", "2026-11-01"), ("to", "2026-11-26")]


class FakeConnection:
    """A connection that returns rows in which every click has its own values."""

    def __init__(self, clicks: int) -> None:
        self._clicks = clicks

    async def fetch(self, *_: object) -> list[Any]:
        return [
            (f"c{n}", f"t{n % 9}", 1, NOW, 1, 0, 0, n.to_bytes(8, "big"))
            for n in range(self._clicks)
        ]

    async def fetchrow(self, *_: object) -> dict[str, Any]:
        return {"since": datetime(2000, 1, 1, tzinfo=UTC), "clicks": self._clicks}

    async def fetchval(self, *_: object) -> None:
        return None


def test_the_event_loop_runs_on_while_many_values_are_summed() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def ask() -> Stats:
        ticking = asyncio.create_task(tick())
        connection: Any = FakeConnection(30_000)
        query = parse_query(PARAMETERS, NOW)
        planned = plan(query)
        assert isinstance(planned, RawClicksPlan)
        stats = await crossed(connection, ProfileKey(1, 2), query, planned)
        ticking.cancel()
        return stats

    stats = asyncio.run(ask())
    assert stats.totals == MetricValues(30_000, 0, 0, 30_000)
    assert len(stats.rows) == 100
    assert ticks > 3
