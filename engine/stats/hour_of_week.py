"""Counts by hour of the local week: a heat map, summed from a series by hour."""

from collections import defaultdict
from typing import Final

import msgspec

from engine.stats.query import StatsQuery
from engine.stats.result import Stats, StatsRow

HOURS: Final = 168


def hourly(query: StatsQuery) -> StatsQuery:
    """Return the series by hour from which rows by hour of the week are summed."""
    return msgspec.structs.replace(
        query, by_time=True, by_hour_of_week=False, fill=False, interval="hour"
    )


def folded(query: StatsQuery, series: Stats) -> Stats:
    """Return the answer to a query by hour of the week. Visitors of several weeks add up."""
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in series.rows:
        assert row.time is not None
        added = (row.clicks, row.views, row.bots, row.visitors or 0)
        hour = row.time.weekday() * 24 + row.time.hour
        sums[hour][:] = map(sum, zip(sums[hour], added, strict=True))
    hours = range(HOURS) if query.fill else sorted(sums)
    rows = []
    for hour in hours:
        clicks, views, bots, visitors = sums[hour]
        rows.append(
            StatsRow(None, clicks, views, bots, visitors if query.visitors else None, (str(hour),))
        )
    return msgspec.structs.replace(series, rows=tuple(rows))
