"""Plans of stats queries: the stored rows that answer them.

Counts are stored by one dimension at a time, of each link and of the whole profile. They answer queries
that group and filter by one dimension besides link and time; two crossed dimensions are counted from packed
clicks.

| rows | hold | table |
|---|---|---|
| ROLLUPS | clicks, views and bots by quarter of an hour and link, not compacted | `rollups` |
| LIVE_DIMENSIONS | clicks, views and bots by dimension value too, with sketches | `dimension_counts` |
| MONTHS | compacted UTC months by value of a dimension, with visitors | `dimension_months` |
| DAYS | compacted UTC days by value of a dimension, with visitors | `dimension_days` |
| DAY_PARTS | a part of a compacted day, from its prefix sums | `dimension_quarters` |
| QUARTERS | each quarter of an hour of compacted days | `dimension_quarters` |

A sum is always of rows that are compacted and of rows that are not. A plan's statements run in the order of its
fields; results of an earlier one narrow the later ones (engine/stats/merge.py). Storage only executes them.
"""

from collections.abc import Iterable
from datetime import date, datetime
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from engine.clicks.dimension import ALL_LINKS, MULTIVALUED, Dimension
from engine.stats import period
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.period_split import DayPart, PeriodSplit, interval_starts, split_period
from engine.stats.query import MAX_ROWS, Filter, StatsQuery

# Groups in an order by visitors, for which the sketches of all groups are merged.
MAX_SORTED: Final = 5_000
# Links whose own rows are read, if the query has another dimension.
MAX_LINKS: Final = 20_000
# Sums of a series: rows of an answer, and rows outside its groups.
MAX_SUMS: Final = 10 * MAX_ROWS
MAX_PLANS: Final = (
    256  # kept, as dashboards ask the same again: of a year by day 100 KB, made in 2 ms
)
_WHOLE_PROFILE: Final = (ALL_LINKS,)


class RowKind(Enum):
    """Kinds of stored rows: see the table above."""

    ROLLUPS = auto()
    LIVE_DIMENSIONS = auto()
    MONTHS = auto()
    DAYS = auto()
    DAY_PARTS = auto()
    QUARTERS = auto()


_LIVE: Final = (RowKind.ROLLUPS, RowKind.LIVE_DIMENSIONS)


class QuarterRange(NamedTuple):
    """Quarters [first, end) of a UTC day."""

    day: date
    first: int
    end: int


class VisitorSketches(NamedTuple):
    """Sketches to merge for visitors: those that are not compacted, and of compacted days those in `ranges`.

    `add_stored`: whether the visitors of compacted rows are added. For an hour they must not be: a visitor
    can be in more than one of its quarters.
    """

    ranges: tuple[QuarterRange, ...]
    add_stored: bool = True


class CountsStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A read of stored counts, summed by row of the answer, and by link and value if `by_link`, `by_value`.

    It reads rows of `dimension` and `kinds`, in the pieces of `split`, of `links` (None: the links that the
    plan's statement `links` returns; ALL_LINKS: the whole profile), with a value that passes `filters` and
    is one of `values` (None: any). `order` is a metric or `value`, or `''` if the order does not matter. Of
    the sums behind `after`, the first `limit` are returned; `link_first` says how the values of `after` stand.
    `sketches` None: without visitors. `of_events`: it counts own events, of packed clicks alone.
    """

    dimension: Dimension
    kinds: tuple[RowKind, ...]
    split: PeriodSplit
    links: tuple[int, ...] | None = _WHOLE_PROFILE
    filters: tuple[Filter, ...] = ()
    values: tuple[str, ...] | None = None
    by_link: bool = False
    by_value: bool = False
    order: str = ""
    descending: bool = True
    after: GroupCursor | None = None
    link_first: bool = False
    limit: int
    sketches: VisitorSketches | None = None
    of_events: bool = False

    @property
    def last(self) -> tuple[str, str]:
        """The (value, link) of the group of `after`; '' for what the statement is not by."""
        assert self.after is not None
        names = self.after.values if self.link_first else self.after.values[::-1]
        if self.by_link and self.by_value:
            link, value = names
            return value, link
        return ("", names[0]) if self.by_link else (names[0], "")


class CountsPlan(NamedTuple):
    """The statements that answer a query from stored counts.

    `links`: the links with rows in the period. `groups`: the first groups of the whole period. `series`:
    rows by time, of those groups if there are any. `totals` None: totals are the sums of the series.
    """

    links: CountsStatement | None
    groups: CountsStatement | None
    series: CountsStatement | None
    totals: CountsStatement | None


class CrossedPlan(NamedTuple):
    """Packed clicks in [starts[0], end), summed by the values of `groups` and by row (from `starts`)."""

    starts: tuple[datetime, ...]
    end: datetime
    groups: tuple[Dimension, ...]
    filters: tuple[Filter, ...]
    visitors: bool
    of_events: bool


class _Selection(NamedTuple):
    """The stored rows of a query.

    `links` as in CountsStatement. `link_filters` choose the links where `links` is None.
    """

    dimension: Dimension
    filters: tuple[Filter, ...]
    links: tuple[int, ...] | None = _WHOLE_PROFILE
    link_filters: tuple[Filter, ...] = ()


@lru_cache(MAX_PLANS)
def plan(query: StatsQuery) -> CountsPlan | CrossedPlan:
    """Return the plan of a query."""
    selection = _select(query)
    if selection is None:
        return _crossed_plan(query)
    return CountsPlan(
        links=_links_statement(query, selection),
        groups=_groups_statement(query, selection),
        series=_series_statement(query, selection),
        totals=_totals_statement(query, selection),
    )


def is_crossed(query: StatsQuery) -> bool:
    """Return whether stored counts cannot answer the query.

    They have no two dimensions together besides link, and no clicks: a click with two variants stands in both,
    so only clicks tell which of them have neither or either of two. So it is with properties of own events.
    """
    if len(query.dimensions - {Dimension.LINK}) > 1:
        return True
    filters = [f for f in query.filters if f.dimension in MULTIVALUED]
    return bool(filters) and [(f.operator, len(f.values)) for f in filters] != [("=", 1)]


def _select(query: StatsQuery) -> _Selection | None:
    if is_crossed(query):
        return None
    others = query.dimensions - {Dimension.LINK}
    link_filters = query.filters_of(Dimension.LINK)
    many_links = Dimension.LINK in query.groups or any(f.operator != "=" for f in link_filters)
    if not others and many_links:
        return _Selection(Dimension.LINK, link_filters)
    dimension = next(iter(others), Dimension.TOTAL)
    filters = query.filters_of(dimension)
    if many_links:
        return _Selection(dimension, filters, None, link_filters)
    if link_filters:
        return _Selection(dimension, filters, tuple(map(int, link_filters[0].values)))
    return _Selection(dimension, filters)


def _interval_starts(query: StatsQuery) -> tuple[datetime, ...]:
    tz = period.zone(query.tz)
    return interval_starts(query.start, query.end, query.interval, tz, query.week_start)


def _whole(query: StatsQuery) -> PeriodSplit:
    """Return the split of the period into one row."""
    return split_period((query.start,), query.end)


def _row_kinds(dimension: Dimension, split: PeriodSplit) -> tuple[RowKind, ...]:
    kinds = [_live_rows(dimension)]
    if split.months:
        kinds.append(RowKind.MONTHS)
    if split.days:
        kinds.append(RowKind.DAYS)
    if split.parts:
        kinds.append(RowKind.DAY_PARTS)
    return tuple(kinds)


def _live_rows(dimension: Dimension) -> RowKind:
    # Live rows of TOTAL have visitors only: the rollups have their counts.
    return RowKind.ROLLUPS if dimension is Dimension.TOTAL else RowKind.LIVE_DIMENSIONS


def _links_statement(query: StatsQuery, selection: _Selection) -> CountsStatement | None:
    if selection.links is not None:
        return None
    split = _whole(query)
    return CountsStatement(
        dimension=Dimension.LINK,
        kinds=_row_kinds(Dimension.LINK, split),
        split=split,
        filters=selection.link_filters,
        by_value=True,
        limit=MAX_LINKS + 1,
        of_events=query.of_events,
    )


def _groups_statement(query: StatsQuery, selection: _Selection) -> CountsStatement | None:
    if not query.groups:
        return None
    statement = _grouped(query, _whole_statement(query, selection))
    if query.only is not None:
        return _only(query, statement)
    by_visitors = query.order == "visitors"
    return msgspec.structs.replace(
        statement,
        order=query.order,
        descending=query.descending,
        # Visitors are ordered when they are merged (engine/stats/merge.py).
        after=None if by_visitors else query.after,
        link_first=query.groups[0] is Dimension.LINK,
        limit=MAX_SORTED + 1 if by_visitors else query.limit + 1,
    )


def _only(query: StatsQuery, statement: CountsStatement) -> CountsStatement:
    """Return the statement for the groups that the query names."""
    assert query.only is not None
    for dimension, names in zip(query.groups, zip(*query.only, strict=True), strict=False):
        names = tuple(dict.fromkeys(names))
        if statement.by_link and dimension is Dimension.LINK:
            statement = msgspec.structs.replace(statement, links=tuple(map(int, names)))
        elif statement.by_value and dimension is statement.dimension:
            statement = msgspec.structs.replace(statement, values=names)
    return statement


def _totals_statement(query: StatsQuery, selection: _Selection) -> CountsStatement | None:
    if not query.groups and not query.visitors:
        return None
    if query.groups and (query.visitors or not MULTIVALUED.isdisjoint(query.groups)):
        # A visitor seen under two values counts once in the total, and a click that shows two variants is one
        # click: so the total is read without the groups. If it reads each link's rows, it reads the same links.
        ungrouped = _select(msgspec.structs.replace(query, groups=()))
        selection = ungrouped or selection
    return _whole_statement(query, selection)


def _whole_statement(query: StatsQuery, selection: _Selection) -> CountsStatement:
    """Return the statement that sums the whole period into one row."""
    split = _whole(query)
    return CountsStatement(
        dimension=selection.dimension,
        kinds=_row_kinds(selection.dimension, split),
        split=split,
        links=selection.links,
        filters=selection.filters,
        limit=MAX_SUMS,
        sketches=VisitorSketches(_ranges(split.inner_parts)) if query.visitors else None,
        of_events=query.of_events,
    )


def _series_statement(query: StatsQuery, selection: _Selection) -> CountsStatement | None:
    if query.groups and not query.by_time:
        return None
    starts = _interval_starts(query)
    sketches = None
    if query.fine:
        split = PeriodSplit(starts, query.end)
        kinds: tuple[RowKind, ...] = (_live_rows(selection.dimension), RowKind.QUARTERS)
        if query.visitors and query.interval == "hour":
            days = _whole_days(split_period(starts, query.end).parts)
            sketches = VisitorSketches(days, add_stored=False)
        elif query.visitors:
            sketches = VisitorSketches(())
    else:
        split = split_period(starts, query.end)
        kinds = _row_kinds(selection.dimension, split)
        sketches = VisitorSketches(_ranges(split.inner_parts)) if query.visitors else None
    statement = CountsStatement(
        dimension=selection.dimension,
        kinds=kinds,
        split=split,
        links=selection.links,
        filters=selection.filters,
        limit=MAX_SUMS,
        sketches=sketches,
        of_events=query.of_events,
    )
    return _grouped(query, statement)


def visitors_bound(statement: CountsStatement) -> CountsStatement | None:
    """Return the statement whose visitors bound those of `statement` in each row: it has no filters, and reads
    the whole profile unless `statement` is of one link. None: nothing is left out."""
    one_link = statement.links is not None and len(statement.links) == 1
    if one_link and not statement.filters:
        return None
    return msgspec.structs.replace(
        statement,
        dimension=Dimension.TOTAL,
        kinds=(RowKind.ROLLUPS, *(k for k in statement.kinds if k not in _LIVE)),
        links=statement.links if one_link else _WHOLE_PROFILE,
        filters=(),
        values=None,
        by_link=False,
        by_value=False,
        order="",
        after=None,
        limit=MAX_SUMS,
    )


def _grouped(query: StatsQuery, statement: CountsStatement) -> CountsStatement:
    return msgspec.structs.replace(
        statement,
        by_link=Dimension.LINK in query.groups and statement.links is None,
        by_value=statement.dimension in query.groups,
    )


def _ranges(parts: Iterable[DayPart]) -> tuple[QuarterRange, ...]:
    return tuple(QuarterRange(day, first, end) for day, first, end, _ in parts)


def _whole_days(parts: Iterable[DayPart]) -> tuple[QuarterRange, ...]:
    """Return each day's parts as one range."""
    days: dict[date, QuarterRange] = {}
    for day, first, end, _ in parts:
        joined = days.get(day, QuarterRange(day, first, end))
        days[day] = QuarterRange(day, min(first, joined.first), max(end, joined.end))
    return tuple(days.values())


def _crossed_plan(query: StatsQuery) -> CrossedPlan:
    return CrossedPlan(
        starts=_interval_starts(query) if query.by_time else (query.start,),
        end=query.end,
        groups=query.groups,
        filters=query.filters,
        visitors=query.visitors,
        of_events=query.of_events,
    )
