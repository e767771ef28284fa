"""Merging of conversions into an answer of counts.

Groups are those of the counts. Where conversions order them, they are those with conversions instead; otherwise
groups with conversions and no clicks in the period stand behind them, as far as the query's limit allows and if
the answer is the first and only page.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from engine.stats import period
from engine.stats.conversion_question import (
    NO_CONVERSIONS,
    ConversionFilter,
    ConversionQuestion,
    ConversionSum,
    ConversionSums,
)
from engine.stats.ordering import row_starts, tie
from engine.stats.query import StatsQuery
from engine.stats.result import Stats, StatsRow

Values = tuple[str, ...]


def question_of(query: StatsQuery, *, total: bool = False) -> ConversionQuestion:
    """Return the question about conversions that belongs to a query; `total`: without groups and rows."""
    conditions = tuple(
        ConversionFilter(filter_.dimension, filter_.operator, filter_.values)
        for filter_ in query.filters
    )
    question = ConversionQuestion(query.start, query.end, conditions=conditions)
    if total:
        return question
    starts: tuple[datetime, ...] = ()
    if query.by_time:
        starts = tuple(start.astimezone(UTC) for start in _starts(query)[1:])
    return question._replace(starts=starts, groups=query.groups)


def counts_query(query: StatsQuery, sums: ConversionSums) -> StatsQuery:
    """Return the query of the counts: for the groups with most conversions, if these order the answer."""
    if query.order != "conversions":
        return query
    if not query.groups or query.only is not None:
        return msgspec.structs.replace(query, order="clicks")
    groups = _ranked(query, _by_group(sums), descending=query.descending)
    return msgspec.structs.replace(query, order="clicks", only=tuple(groups[: query.limit]))


def with_conversions(
    query: StatsQuery, stats: Stats, sums: ConversionSums, total: ConversionSum
) -> Stats:
    """Return the answer with the conversions of its rows and in total. `query` is that of the counts."""
    numbers = {start.astimezone(UTC): n for n, start in enumerate(_starts(query), 1)}

    def converted(row: StatsRow) -> StatsRow:
        number = 1 if row.time is None else numbers[row.time.astimezone(UTC)]
        return msgspec.structs.replace(
            row, conversions=sums.get((row.values, number), NO_CONVERSIONS)
        )

    rows = [converted(row) for row in stats.rows]
    rows += [converted(row) for row in _rows_without_clicks(query, stats, sums)]
    if query.by_time:
        ranks = {values: rank for rank, values in enumerate(dict.fromkeys(r.values for r in rows))}
        rows.sort(key=lambda row: (row.time and row.time.timestamp(), ranks[row.values]))
    totals = msgspec.structs.replace(stats.totals, conversions=total)
    return msgspec.structs.replace(stats, rows=tuple(rows), totals=totals)


def _starts(query: StatsQuery) -> list[datetime]:
    """Return when each row begins, in the query's zone; one row if rows are not by time."""
    return row_starts(query, period.zone(query.tz)) if query.by_time else [query.start]


def _rows_without_clicks(
    query: StatsQuery, stats: Stats, sums: ConversionSums
) -> Iterable[StatsRow]:
    """Return the missing rows of groups and intervals that have conversions only."""
    shown = dict.fromkeys(row.values for row in stats.rows)
    if query.groups and query.only is None and query.after is None and stats.next is None:
        others = {values: s for values, s in _by_group(sums).items() if values not in shown}
        further = _ranked(query, others, descending=True)[: max(0, query.limit - len(shown))]
        shown |= dict.fromkeys(further)
    if not query.groups:
        shown = {(): None}
    starts = _starts(query)
    times = starts if query.by_time else [None]
    present = {(row.values, row.time and row.time.timestamp()) for row in stats.rows}
    visitors = 0 if query.visitors else None
    for number, time in enumerate(times, 1):
        for values in shown:
            if (values, time and time.timestamp()) in present:
                continue
            is_new = query.fill and query.by_time
            if is_new or (values, number) in sums:
                yield StatsRow(time, 0, 0, 0, visitors, values)


def _by_group(sums: ConversionSums) -> dict[Values, ConversionSum]:
    """Return the sums of each group over all rows."""
    conversions: defaultdict[Values, int] = defaultdict(int)
    revenue: defaultdict[Values, defaultdict[str, Decimal]] = defaultdict(
        lambda: defaultdict(Decimal)
    )
    for (values, _), part in sums.items():
        conversions[values] += part.conversions
        for currency, value in part.revenue.items():
            revenue[values][currency] += value
    return {values: ConversionSum(conversions[values], revenue[values]) for values in conversions}


def _ranked(
    query: StatsQuery, groups: dict[Values, ConversionSum], *, descending: bool
) -> list[Values]:
    """Return groups by their conversions, and where these are equal by value."""
    sign = -1 if descending else 1
    return sorted(
        groups, key=lambda values: (sign * groups[values].conversions, tie(query.groups, values))
    )
