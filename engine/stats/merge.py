"""Merging of sums of stored rows into an answer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from engine.clicks.dimension import OTHER, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period, plan
from engine.stats.packed.column_sums import ColumnSums
from engine.stats.plan import CountsStatement
from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, StatsRow
from engine.stats.sketch import union_size


class SumKey(NamedTuple):
    """The key of a sum: the row of the answer, from 1; link and value if the statement is by them."""

    link: int | None
    value: str | None
    row: int


Sums = dict[SumKey, MetricValues]
TOTAL: SumKey = SumKey(None, None, 1)


def links_of(sums: Sums) -> tuple[int, ...]:
    """Return the links that have rows. Raises InvalidError if they are too many to read each one's rows."""
    if len(sums) > plan.MAX_LINKS:
        reason = (
            f"must not have more than {plan.MAX_LINKS} links beside another dimension; ask for one link, "
            "or for a shorter period"
        )
        raise InvalidError([FieldError("link", reason)])
    return tuple(int(key.value) for key in sums if key.value and key.value != OTHER)


def of_links(statement: CountsStatement, links: tuple[int, ...] | None) -> CountsStatement:
    """Return the statement for these links, if it reads each link's rows."""
    if statement.links is not None:
        return statement
    return msgspec.structs.replace(statement, links=links)


def of_groups(statement: CountsStatement, groups: Iterable[SumKey]) -> CountsStatement:
    """Return the statement for the rows of these groups only."""
    groups = list(groups)
    if statement.by_link:
        links = tuple(sorted({key.link for key in groups if key.link is not None}))
        statement = msgspec.structs.replace(statement, links=links)
    if statement.by_value:
        values = tuple(key.value or "" for key in groups)
        statement = msgspec.structs.replace(statement, values=values)
    return statement


def packed_sums(parts: Iterable[ColumnSums], statement: CountsStatement) -> Sums:
    """Return the sums of packed clicks alone, in the statement's order and within its limit.

    Equal to what Postgres returns where stored counts are added (storage/stats/stats.sql).
    """
    sums: defaultdict[SumKey, list[int]] = defaultdict(lambda: [0, 0, 0])
    for part in parts:
        columns = (part.links, part.values, part.rows, part.clicks, part.views, part.bots)
        for link, value, row, clicks, views, bots in zip(*columns, strict=True):
            counts = sums[SumKey(link, value, row)]
            counts[0] += clicks
            counts[1] += views
            counts[2] += bots
    values = {
        key: MetricValues(clicks, views, bots, 0) for key, (clicks, views, bots) in sums.items()
    }
    if statement.order == "value":
        ordered = sorted(values, key=_by_value, reverse=statement.descending)
    else:
        ordered = sorted(
            values, key=lambda key: (_rank(key, values[key], statement), *_by_value(key))
        )
    return {key: values[key] for key in ordered[: statement.limit]}


def _by_value(key: SumKey) -> tuple[str, int, int]:
    return key.value or "", key.link or 0, key.row


def _rank(key: SumKey, values: MetricValues, statement: CountsStatement) -> tuple[bool, float]:
    """Return the sort key of a sum. A sum without a rate comes last either way."""
    if not statement.order:
        return False, key.row
    if statement.order == "click_rate":
        if not values.views:
            return True, 0.0
        number = values.clicks / values.views
    else:
        number = getattr(values, statement.order)
    return False, -number if statement.descending else number


def add_visitors(
    sums: Sums, sketches: Iterable[tuple[SumKey, Sequence[bytes]]], *, add_stored: bool
) -> None:
    """Add the visitors of `sketches`, each of one link, value and UTC day, to the sums.

    Visitors of two days add up, and so do those of two values. Without `add_stored`, the sums' own visitors
    do not count.
    """
    if not add_stored:
        for key, values in sums.items():
            sums[key] = _with_visitors(values, 0)
    merged: defaultdict[SumKey, int] = defaultdict(int)
    for key, parts in sketches:
        merged[key] += union_size(parts)
    for key, visitors in merged.items():
        if key in sums:
            sums[key] = _with_visitors(sums[key], (sums[key].visitors or 0) + visitors)


def add_counted_visitors(sums: Sums, parts: Iterable[ColumnSums]) -> None:
    """Add the visitors of packed clicks, which are counted exactly.

    No visitor of a UTC day is in a sketch as well: a day's clicks are moved to the tables together.
    """
    for part in parts:
        for link, value, row, visitors in zip(
            part.links, part.values, part.rows, part.visitors, strict=True
        ):
            key = SumKey(link, value, row)
            if key in sums:
                sums[key] = _with_visitors(sums[key], (sums[key].visitors or 0) + visitors)


def _with_visitors(values: MetricValues, visitors: int) -> MetricValues:
    return MetricValues(values.clicks, values.views, values.bots, visitors)


def check_sortable(query: StatsQuery, sums: Sums) -> None:
    """Raise InvalidError if the query sorts by visitors and has too many groups to merge their sketches."""
    if query.order == "visitors" and len(sums) > plan.MAX_SORTED:
        reason = f"must not be visitors for more than {plan.MAX_SORTED} groups; filter, or order by clicks"
        raise InvalidError([FieldError("order", reason)])


def first_groups(query: StatsQuery, sums: Sums) -> Sums:
    """Return the groups of the answer, in its order. `sums` have that order, unless it is by visitors."""
    if query.order != "visitors":
        return sums
    ordered = sorted(sums.items(), key=lambda item: item[1].visitors or 0)
    if query.descending:
        ordered.reverse()
    return dict(ordered[: query.limit])


def group_rows(query: StatsQuery, groups: Sums) -> tuple[StatsRow, ...]:
    return tuple(_row(query, None, key, values) for key, values in groups.items())


def series_rows(
    query: StatsQuery, starts: Sequence[datetime], sums: Sums, groups: Iterable[SumKey] | None
) -> tuple[StatsRow, ...]:
    """Return rows by time; with `groups`, of those only, and in their order where times are equal."""
    if groups is None:
        groups = (TOTAL,)
    ranks = {key._replace(row=0): rank for rank, key in enumerate(groups)}
    ranked = sorted(
        (key.row, rank, key) for key in sums if (rank := ranks.get(key._replace(row=0))) is not None
    )
    times = list(_times(query, starts))
    return tuple(_row(query, times[row - 1], key, sums[key]) for row, _, key in ranked)


def _times(query: StatsQuery, starts: Sequence[datetime]) -> Iterator[datetime]:
    """Yield when each row's interval begins; the first may have begun before the period."""
    tz = period.zone(query.tz)
    for start in starts[:1]:
        yield period.interval_start_utc(start, query.interval, tz).astimezone(tz)
    for start in starts[1:]:
        yield start.astimezone(tz)


def _row(query: StatsQuery, time: datetime | None, key: SumKey, values: MetricValues) -> StatsRow:
    group = tuple(
        str(key.link) if dimension is Dimension.LINK and key.link is not None else key.value or ""
        for dimension in query.groups
    )
    visitors = values.visitors if query.visitors else None
    return StatsRow(time, values.clicks, values.views, values.bots, visitors, group)


def total(query: StatsQuery, sums: Mapping[SumKey, MetricValues]) -> MetricValues:
    """Return the sum of a statement without groups and rows."""
    values = sums.get(TOTAL, MetricValues(visitors=0))
    return values if query.visitors else MetricValues(values.clicks, values.views, values.bots)


def total_of_rows(rows: Iterable[StatsRow]) -> MetricValues:
    rows = list(rows)
    return MetricValues(
        sum(row.clicks for row in rows),
        sum(row.views for row in rows),
        sum(row.bots for row in rows),
    )
