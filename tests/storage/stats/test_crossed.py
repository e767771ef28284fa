"""Stats of two crossed dimensions without a server: sums of packed clicks."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any

from engine.clicks.click import VisitorClass
from engine.clicks.day_rows import ClickHead, DayRows
from engine.clicks.record_items import UTM, item
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import encode
from engine.stats.plan import CrossedPlan, plan
from engine.stats.ports import ProfileKey
from engine.stats.query_parser import parse_query
from engine.stats.result import MetricValues, Stats
from storage.stats.crossed import crossed

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PARAMETERS = [("group", "utm_campaign,utm_term"), ("from", "2026-11-01"), ("to", "2026-11-26")]


def _piece(first: int, clicks: int) -> dict[str, Any]:
    """Return a row of a delta in which every click has its own values."""
    head = ClickHead(5, 7, 0, VisitorClass.HUMAN)
    rows = DayRows()
    rows.add_head(head)
    rows.rows = [
        (0, b"", b"", b"", n.to_bytes(8, "big"),
         item(UTM, b"utm_campaign=c%d&utm_term=t%d" % (n, n % 9)))
        for n in range(first, first + clicks)
    ]  # fmt: skip
    data = encode(pack_day(rows, ValueTexts()))
    return {
        "day": date(2026, 11, 5),
        "clicks": clicks,
        "data": data,
        "hot": False,
        "in_tables": False,
        "summed": False,
    }


class FakeConnection:
    """A connection that returns deltas of many values, and no segments."""

    def __init__(self, clicks: int) -> None:
        facts = {"as_of": None, "all_clicks": clicks, "has_tables": False}
        self._deltas = [_piece(first, 2_000) | facts for first in range(1, clicks, 2_000)]

    async def fetch(self, *_: object) -> list[Any]:
        return self._deltas

    async def fetchval(self, *_: object) -> date:
        return date(2000, 1, 1)


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
        assert isinstance(planned, CrossedPlan)
        stats = await crossed(connection, ProfileKey(1, 2), query, planned)
        ticking.cancel()
        return stats

    stats = asyncio.run(ask())
    assert stats.totals == MetricValues(30_000, 0, 0, 30_000)
    assert len(stats.rows) == 100
    assert ticks > 3
