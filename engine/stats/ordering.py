"""Rows of an answer in the order asked for, where all of them are at hand."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from heapq import nlargest, nsmallest
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, StatsRow


class RowGroup(NamedTuple):
    """When a row's interval begins, in UTC (None: rows are not by time), and the values of its groups."""

    start: datetime | None
    values: tuple[str, ...]


def order_groups(
    groups: Mapping[RowGroup, MetricValues], query: StatsQuery, tz: ZoneInfo
) -> tuple[StatsRow, ...]:
    """The first groups by their sums over the whole period; by time, then in that order."""
    ranks = {values: rank for rank, values in enumerate(_first(groups, query))}
    shown = [group for group in groups if group.values in ranks]
    shown.sort(
        key=lambda group: (group.start is not None and group.start.timestamp(), ranks[group.values])
    )
    return tuple(_row(group, groups[group], tz) for group in shown)


def _row(group: RowGroup, counted: MetricValues, tz: ZoneInfo) -> StatsRow:
    time = None if group.start is None else group.start.astimezone(tz)
    return StatsRow(
        time, counted.clicks, counted.views, counted.bots, counted.visitors, group.values
    )


def _first(groups: Mapping[RowGroup, MetricValues], query: StatsQuery) -> list[tuple[str, ...]]:
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (_, values), one in groups.items():
        added = (one.clicks, one.views, one.bots, one.visitors or 0)
        sums[values][:] = map(sum, zip(sums[values], added, strict=True))
    limit = query.limit if query.groups else len(sums)
    if query.order == "value":
        return (nlargest if query.descending else nsmallest)(limit, sums)
    # A sort of all would keep the interpreter from any other thread for as long as it takes.
    return nsmallest(limit, sums, key=lambda one: (_rank(MetricValues(*sums[one]), query), one))


def _rank(counted: MetricValues, query: StatsQuery) -> tuple[bool, float]:
    """Ascending; what has no rate comes last either way."""
    if query.order == "click_rate":
        number = counted.clicks / counted.views if counted.views else None
    else:
        number = getattr(counted, query.order)
    if number is None:
        return True, 0.0
    return False, -float(number) if query.descending else float(number)
