"""Ordering of the rows of an answer that are all in memory."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from heapq import nlargest, nsmallest
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, StatsRow


class RowGroup(NamedTuple):
    """A row's key: when its interval begins, in UTC (None: not by time), and the values of its groups."""

    start: datetime | None
    values: tuple[str, ...]


def order_groups(
    groups: Mapping[RowGroup, MetricValues], query: StatsQuery, tz: ZoneInfo
) -> tuple[StatsRow, ...]:
    """Return rows of the first groups, ranked by their sums over the whole period; by time, and then by
    rank."""
    ranks = {values: rank for rank, values in enumerate(_first(groups, query))}
    ranked = [group for group in groups if group.values in ranks]
    ranked.sort(
        key=lambda group: (group.start is not None and group.start.timestamp(), ranks[group.values])
    )
    return tuple(_row(group, groups[group], tz) for group in ranked)


def _row(group: RowGroup, metrics: MetricValues, tz: ZoneInfo) -> StatsRow:
    time = None if group.start is None else group.start.astimezone(tz)
    return StatsRow(
        time, metrics.clicks, metrics.views, metrics.bots, metrics.visitors, group.values
    )


def _first(groups: Mapping[RowGroup, MetricValues], query: StatsQuery) -> list[tuple[str, ...]]:
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (_, values), metrics in groups.items():
        added = (metrics.clicks, metrics.views, metrics.bots, metrics.visitors or 0)
        sums[values][:] = map(sum, zip(sums[values], added, strict=True))
    limit = query.limit if query.groups else len(sums)
    if query.order == "value":
        return (nlargest if query.descending else nsmallest)(limit, sums)
    # Not a sort of all groups, which would hold the interpreter's lock until it ends.
    return nsmallest(
        limit, sums, key=lambda values: (_rank(MetricValues(*sums[values]), query), values)
    )


def _rank(metrics: MetricValues, query: StatsQuery) -> tuple[bool, float]:
    """Return the sort key of a group; a group without a rate comes last either way."""
    if query.order == "click_rate":
        number = metrics.clicks / metrics.views if metrics.views else None
    else:
        number = getattr(metrics, query.order)
    if number is None:
        return True, 0.0
    return False, -float(number) if query.descending else float(number)
