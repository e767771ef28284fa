"""Merging of sums of stored rows into an answer."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from engine.clicks.dimension import OTHER, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import calendar, period, plan
from engine.stats.ordering import cursor_of, rank
from engine.stats.packed.column_sums import ColumnSums
from engine.stats.parameters.group_cursor import GroupCursor
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
Tie = tuple[str, str]
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
    if not statement.order:
        ordered = sorted(values, key=lambda key: (key.row, *_tie(key)))
    else:
        ordered = _ordered(values, statement.order, statement.descending)
        if statement.after is not None:
            ordered = _behind(
                ordered,
                values,
                statement.order,
                statement.descending,
                statement.after,
                statement.last,
            )
    return {key: values[key] for key in ordered[: statement.limit]}


def _ordered(sums: Sums, order: str, descending: bool) -> list[SumKey]:
    if order == "value":
        return sorted(sums, key=_tie, reverse=descending)
    return sorted(sums, key=lambda key: (rank(order, descending, sums[key]), _tie(key)))


def _behind(
    ordered: list[SumKey], sums: Sums, order: str, descending: bool, after: GroupCursor, last: Tie
) -> list[SumKey]:
    """Return those of the groups that come behind a cursor, whose sort key by values is `last`."""
    if order == "value":
        return [key for key in ordered if (_tie(key) < last if descending else _tie(key) > last)]
    end = rank(order, descending, after), last
    return [key for key in ordered if (rank(order, descending, sums[key]), _tie(key)) > end]


def _tie(key: SumKey) -> Tie:
    """Return the sort key of a group by its values, as engine/stats/ordering.py has it."""
    return key.value or "", "" if key.link is None else str(key.link)


def add_visitors(
    sums: Sums,
    sketches: Iterable[tuple[SumKey, Sequence[bytes]]],
    *,
    add_stored: bool,
    size_of: Callable[[Sequence[bytes]], int] = union_size,
) -> None:
    """Add the visitors of `sketches`, each of one link, value and UTC day, to the sums.

    Visitors of two days add up, and so do those of two values. Without `add_stored`, the sums' own visitors
    do not count. `size_of` returns the visitors of some sketches together.
    """
    if not add_stored:
        for key, values in sums.items():
            sums[key] = _with_visitors(values, 0)
    merged: defaultdict[SumKey, int] = defaultdict(int)
    for key, parts in sketches:
        merged[key] += size_of(parts)
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
    if query.only is None and query.order == "visitors" and len(sums) > plan.MAX_SORTED:
        reason = f"must not be visitors for more than {plan.MAX_SORTED} groups; filter, or order by clicks"
        raise InvalidError([FieldError("order", reason)])


def first_groups(
    query: StatsQuery, statement: CountsStatement, sums: Sums
) -> tuple[Sums, GroupCursor | None]:
    """Return the groups of the answer in its order, and the cursor of further ones. `sums` have that order,
    unless it is by visitors or of the query's own groups."""
    if query.only is not None:
        empty = MetricValues(visitors=0)
        keys = (_key_of(query, statement, values) for values in query.only)
        return {key: sums.get(key, empty) for key in keys}, None
    ordered = list(sums)
    if query.order == "visitors":
        ordered = _ordered(sums, query.order, query.descending)
        if query.after is not None:
            last = msgspec.structs.replace(statement, after=query.after).last
            ordered = _behind(ordered, sums, query.order, query.descending, query.after, last)
    following = None
    if len(ordered) > query.limit:
        key = ordered[query.limit - 1]
        following = cursor_of(query, _group(query, key), sums[key])
    return {key: sums[key] for key in ordered[: query.limit]}, following


def _key_of(query: StatsQuery, statement: CountsStatement, values: tuple[str, ...]) -> SumKey:
    link, value = None, None
    for dimension, text in zip(query.groups, values, strict=True):
        if statement.by_link and dimension is Dimension.LINK:
            link = int(text)
        else:
            value = text
    return SumKey(link, value, 1)


def bound_visitors(sums: Sums, bounds: Mapping[SumKey, MetricValues]) -> None:
    """Lower the visitors of sums to those of their row without filters.

    Visitors of several values add up, and nobody is added by a filter.
    """
    for key, values in sums.items():
        bound = bounds.get(TOTAL._replace(row=key.row), MetricValues()).visitors or 0
        if (values.visitors or 0) > bound:
            sums[key] = _with_visitors(values, bound)


def group_rows(query: StatsQuery, groups: Sums) -> tuple[StatsRow, ...]:
    return tuple(_row(query, None, key, values) for key, values in groups.items())


def series_rows(
    query: StatsQuery, starts: Sequence[datetime], sums: Sums, groups: Iterable[SumKey] | None
) -> tuple[StatsRow, ...]:
    """Return rows by time; with `groups`, of those only, and in their order where times are equal."""
    if groups is None:
        groups = (TOTAL,)
    times = list(_times(query, starts))
    if query.fill:
        empty = MetricValues(visitors=0)
        keys = [key._replace(row=row) for row in range(1, len(times) + 1) for key in groups]
        return tuple(_row(query, times[key.row - 1], key, sums.get(key, empty)) for key in keys)
    ranks = {key._replace(row=0): rank for rank, key in enumerate(groups)}
    ranked = sorted(
        (key.row, rank, key) for key in sums if (rank := ranks.get(key._replace(row=0))) is not None
    )
    return tuple(_row(query, times[row - 1], key, sums[key]) for row, _, key in ranked)


def _times(query: StatsQuery, starts: Sequence[datetime]) -> Iterator[datetime]:
    """Yield when each row's interval begins; the first may have begun before the period."""
    tz = period.zone(query.tz)
    for start in starts[:1]:
        yield calendar.interval_start(start, query.interval, tz, query.week_start)
    for start in starts[1:]:
        yield start.astimezone(tz)


def _row(query: StatsQuery, time: datetime | None, key: SumKey, values: MetricValues) -> StatsRow:
    visitors = values.visitors if query.visitors else None
    return StatsRow(time, values.clicks, values.views, values.bots, visitors, _group(query, key))


def _group(query: StatsQuery, key: SumKey) -> tuple[str, ...]:
    return tuple(
        str(key.link) if dimension is Dimension.LINK and key.link is not None else key.value or ""
        for dimension in query.groups
    )


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
