"""Order of the groups of an answer, and the rows of answers that are all in memory.

Groups are ordered by a metric, and where it is equal by their values: that of a dimension before the link.
Postgres orders alike (storage/stats/reading/statements.py).
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from heapq import nsmallest
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.clicks.dimension import Dimension
from engine.stats import calendar
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.period_split import interval_starts
from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, StatsRow

Rank = tuple[bool, float]


class RowGroup(NamedTuple):
    """A row's key: when its interval begins, in UTC (None: not by time), and the values of its groups."""

    start: datetime | None
    values: tuple[str, ...]


def rank(order: str, descending: bool, counts: MetricValues | GroupCursor) -> Rank:
    """Return the sort key of a group by its metrics. A group without a rate comes last either way."""
    if not order or order == "value":
        return False, 0.0
    if order == "click_rate":
        number = counts.clicks / counts.views if counts.views else None
    else:
        number = getattr(counts, "clicks" if order == "events" else order) or 0
    if number is None:
        return True, 0.0
    return False, -float(number) if descending else float(number)


def tie(groups: tuple[Dimension, ...], values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sort key of a group by its values."""
    return values[::-1] if len(values) > 1 and groups[0] is Dimension.LINK else values


def order_groups(
    groups: Mapping[RowGroup, MetricValues], query: StatsQuery, tz: ZoneInfo
) -> tuple[tuple[StatsRow, ...], GroupCursor | None]:
    """Return rows of the first groups, ranked by their sums over the whole period (by time, and then by rank),
    and the cursor of further groups."""
    sums = _sums(groups)
    values_in_order = _first(sums, query)
    following = None
    if query.groups and query.only is None and len(values_in_order) > query.limit:
        values_in_order = values_in_order[: query.limit]
        last = values_in_order[-1]
        following = cursor_of(query, last, sums[last])
    ranks = {values: number for number, values in enumerate(values_in_order)}
    if query.fill and query.by_time:
        starts = row_starts(query, tz)
        keys = [RowGroup(start.astimezone(UTC), values) for start in starts for values in ranks]
    elif query.only is not None and not query.by_time:
        keys = [RowGroup(None, values) for values in ranks]
    else:
        keys = [group for group in groups if group.values in ranks]
        keys.sort(
            key=lambda group: (
                group.start is not None and group.start.timestamp(),
                ranks[group.values],
            )
        )
    empty = MetricValues(visitors=0 if query.visitors else None)
    return tuple(_row(key, groups.get(key, empty), tz) for key in keys), following


def cursor_of(query: StatsQuery, values: tuple[str, ...], counts: MetricValues) -> GroupCursor:
    """Return the cursor behind a group."""
    return GroupCursor(
        query.order, query.descending, values, counts.clicks, counts.views, counts.bots,
        counts.visitors or 0,
    )  # fmt: skip


def row_starts(query: StatsQuery, tz: ZoneInfo) -> list[datetime]:
    """Return when each row of a series begins, in the zone; the first may have begun before the period."""
    starts = interval_starts(query.start, query.end, query.interval, tz, query.week_start)
    first = calendar.interval_start(starts[0], query.interval, tz, query.week_start)
    return [first, *(start.astimezone(tz) for start in starts[1:])]


def _row(group: RowGroup, metrics: MetricValues, tz: ZoneInfo) -> StatsRow:
    time = None if group.start is None else group.start.astimezone(tz)
    return StatsRow(
        time, metrics.clicks, metrics.views, metrics.bots, metrics.visitors, group.values
    )


def _sums(groups: Mapping[RowGroup, MetricValues]) -> dict[tuple[str, ...], MetricValues]:
    """Return the sums of groups over all intervals."""
    sums: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (_, values), metrics in groups.items():
        added = (metrics.clicks, metrics.views, metrics.bots, metrics.visitors or 0)
        sums[values][:] = map(sum, zip(sums[values], added, strict=True))
    return {
        values: MetricValues(clicks, views, bots, visitors)
        for values, (clicks, views, bots, visitors) in sums.items()
    }


def _first(
    sums: Mapping[tuple[str, ...], MetricValues], query: StatsQuery
) -> list[tuple[str, ...]]:
    """Return the groups of the answer in its order, and one more if there are more."""
    if not query.groups:
        return [()]
    if query.only is not None:
        return list(query.only)
    if query.order == "value":
        ordered = sorted(
            sums, key=lambda values: tie(query.groups, values), reverse=query.descending
        )
        return ordered[_place(ordered, query) :][: query.limit + 1]

    def key(values: tuple[str, ...]) -> tuple[Rank, tuple[str, ...]]:
        return rank(query.order, query.descending, sums[values]), tie(query.groups, values)

    chosen = list(sums)
    if query.after is not None:
        last = (
            rank(query.order, query.descending, query.after),
            tie(query.groups, query.after.values),
        )
        chosen = [values for values in sums if key(values) > last]
    # Not a sort of all groups, which would hold the interpreter's lock until it ends.
    return nsmallest(query.limit + 1, chosen, key=key)


def _place(ordered: list[tuple[str, ...]], query: StatsQuery) -> int:
    """Return the place of the first group behind the query's cursor, in an order by value."""
    if query.after is None:
        return 0
    last = tie(query.groups, query.after.values)
    behind = [tie(query.groups, values) for values in ordered]
    if query.descending:
        return sum(values >= last for values in behind)
    return sum(values <= last for values in behind)
