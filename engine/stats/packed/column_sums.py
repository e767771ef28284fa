"""Sums of packed clicks, as the statements of a stats plan ask for them (engine/stats/plan.py).

Exact for every zone, as rows begin with quarters of an hour, and for visitors: one is counted once in each row
and UTC day, whatever its links and values.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np

from engine.clicks.day_rows import BOT, EVENT
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.stats.packed.numbering import distinct_in_groups, number_groups
from engine.stats.packed.packed_clicks import COLUMN_OF, Numbers
from engine.stats.packed.profile_clicks import QUARTERS, Mask, ProfileClicks, Values
from engine.stats.parameters.filter_values import CASELESS
from engine.stats.plan import CountsStatement
from engine.stats.query import Filter
from engine.stats.sketch import sketches

_COLUMN_OF: Final = np.array((0, 1, 2, 0))  # of counts, for a click, a view, a bot, an own event
_QUARTER_S: Final = 900
_EPOCH: Final = date(1970, 1, 1)
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class ColumnSums(NamedTuple):
    """Sums as columns, one row for each link (None: not by link), value (None: not by value) and row of the
    answer, from 1. `clicks` of a statement of own events are these."""

    links: list[int | None]
    values: list[str | None]
    rows: list[int]
    clicks: list[int]
    views: list[int]
    bots: list[int]
    visitors: list[int]


def column_sums(clicks: ProfileClicks, statement: CountsStatement, *, visitors: bool) -> ColumnSums:
    """Return the sums of a statement over these clicks, in no order and without a limit.

    Without `visitors` their numbers are 0.
    """
    of, codes, names = _chosen(clicks, statement)
    rows = rows_of(clicks, statement.split.starts)[of]
    if not statement.by_value:
        # A click with two variants is one click where variants are not told apart.
        first = np.flatnonzero(np.diff(of, prepend=-1))
        of, rows, codes, names = of[first], rows[first], np.zeros(len(first), np.int64), ("",)
    keys: tuple[Numbers, ...] = (codes, rows)
    if statement.by_link:
        keys = (clicks.values(Dimension.LINK).codes[of], *keys)
    sums = group_sums(clicks, of, keys, visitors=visitors)
    *link_column, code_column, row_column = sums.keys
    return ColumnSums(
        _links(clicks, link_column[0]) if link_column else [None] * len(row_column),
        [names[code] for code in code_column.tolist()]
        if statement.by_value
        else [None] * len(row_column),
        row_column.tolist(),
        sums.counts[:, 0].tolist(),
        sums.counts[:, 1].tolist(),
        sums.counts[:, 2].tolist(),
        sums.visitors.tolist(),
    )


def _links(clicks: ProfileClicks, codes: Numbers) -> list[int | None]:
    names = clicks.values(Dimension.LINK).names
    return [int(names[code]) for code in codes.tolist()]


def columns_of(statement: CountsStatement) -> set[str]:
    """Return the names of the columns that column_sums() of the statement needs."""
    columns = {"kinds"}
    if statement.dimension in COLUMN_OF:
        columns.add(COLUMN_OF[statement.dimension])
    by_links = statement.links is None or ALL_LINKS not in statement.links
    if by_links or statement.by_link or statement.dimension is Dimension.LINK:
        columns.add("links")
    return columns | ({"visitors", "pseudonyms"} if statement.sketches is not None else set())


class SketchKey(NamedTuple):
    """The key of one stored sketch: link (ALL_LINKS: the profile), value, row of the answer and UTC day."""

    link: int
    value: str
    row: int
    day: date


def column_sketches(clicks: ProfileClicks, statement: CountsStatement) -> dict[SketchKey, bytes]:
    """Return the visitors of a statement's clicks as sketches, to be merged with those of hot days' tables."""
    of, codes, names = _chosen(clicks, statement)
    known = (clicks.visitors[of] != 0) & (clicks.counted_as[of] != BOT)
    of, codes = of[known], codes[known]
    whole = statement.links is None or ALL_LINKS in statement.links
    links = np.full(len(of), ALL_LINKS) if whole else clicks.links[of]
    rows = rows_of(clicks, statement.split.starts)[of]
    days = clicks.quarters[of] // QUARTERS
    group, firsts = number_groups((links, codes, rows, days))
    pairs = np.unique(np.stack((group, clicks.pseudonyms[of])), axis=1)
    sizes = np.bincount(pairs[0], minlength=len(firsts)).tolist()
    keys = [
        SketchKey(link, names[code], row, _EPOCH + timedelta(days=day))
        for link, code, row, day in zip(
            links[firsts].tolist(), codes[firsts].tolist(), rows[firsts].tolist(),
            days[firsts].tolist(), strict=True,
        )
    ]  # fmt: skip
    return {
        key: sketch
        for key, sketch in zip(keys, sketches(pairs[1], sizes), strict=True)
        if sketch is not None
    }


class GroupSums(NamedTuple):
    """Keys as columns, counts of shape (groups, 3), and visitors."""

    keys: tuple[Numbers, ...]
    counts: Numbers
    visitors: Numbers


def group_sums(
    clicks: ProfileClicks, of: Numbers, keys: Sequence[Numbers], *, visitors: bool
) -> GroupSums:
    """Sum the clicks `of` by keys, columns as long as `of`. Without `visitors` their numbers are 0.

    Own events are counted as clicks are: no question is of both.
    """
    group, firsts = number_groups(keys)
    groups = len(firsts)
    counted_as = clicks.counted_as[of]
    column = group * 3 + _COLUMN_OF[counted_as]
    counts = np.bincount(column, minlength=3 * groups).reshape(groups, 3)
    numbers = np.zeros(groups, np.int64)
    if visitors:
        known = np.flatnonzero((clicks.visitors[of] != 0) & (counted_as != BOT))
        numbers = distinct_in_groups(group[known], groups, clicks.visitors[of[known]])
    return GroupSums(tuple(key[firsts] for key in keys), counts, numbers)


def of_class(clicks: ProfileClicks, *, of_events: bool) -> Mask:
    """Return which clicks are own events, or which are not."""
    is_event: Mask = clicks.counted_as == EVENT
    return is_event if of_events else ~is_event


def within(clicks: ProfileClicks, start: datetime, end: datetime) -> Mask:
    """Return which clicks are in [start, end), in whole quarters."""
    return (clicks.quarters >= quarter(start)) & (clicks.quarters < quarter(end))


def rows_of(clicks: ProfileClicks, starts: Sequence[datetime]) -> Numbers:
    """Return the row of each click, from 1, for rows that begin at `starts`; 0: before the first."""
    if not len(clicks):
        return np.zeros(0, np.int64)
    first = int(clicks.quarters.min())
    quarters = np.arange(first, int(clicks.quarters.max()) + 1)
    rows = np.searchsorted(np.array([quarter(start) for start in starts]), quarters, "right")
    return rows[clicks.quarters - first]


def quarter(moment: datetime) -> int:
    """Return the number of whole quarters of an hour since 1970, rounded up."""
    return -(-int(moment.astimezone(UTC).timestamp()) // _QUARTER_S)


def _chosen(
    clicks: ProfileClicks, statement: CountsStatement
) -> tuple[Numbers, Numbers, Sequence[str]]:
    """Return the clicks that the statement reads, the number of the value of each, and the values."""
    chosen = within(clicks, statement.split.starts[0], statement.split.end)
    chosen &= of_class(clicks, of_events=statement.of_events)
    if statement.links is not None and ALL_LINKS not in statement.links:
        chosen &= np.isin(clicks.links, np.array(statement.links, np.int64))
    values = _values(clicks, statement.dimension)
    passing = np.array([passes_statement(name, statement) for name in values.names], bool)
    pairs = chosen[values.clicks] & passing[values.codes]
    return values.clicks[pairs], values.codes[pairs], values.names


def _values(clicks: ProfileClicks, dimension: Dimension) -> Values:
    if dimension is not Dimension.TOTAL:
        return clicks.values(dimension)
    every = np.arange(len(clicks), dtype=np.int64)
    return Values(every, np.zeros(len(clicks), np.int64), ("",))


def passes_statement(value: str, statement: CountsStatement) -> bool:
    """Return whether the statement reads a dimension's value."""
    if statement.values is not None:  # of groups, which pass the filters
        return value in statement.values
    return all(passes(value, filter_) for filter_ in statement.filters)


def passes(value: str, filter_: Filter) -> bool:
    """Return whether a dimension's value passes a filter."""
    if filter_.operator == "~=":
        return any(ascii_lower(part) in ascii_lower(value) for part in filter_.values)
    if filter_.dimension in CASELESS:
        same = ascii_lower(value) in map(ascii_lower, filter_.values)
    else:
        same = value in filter_.values
    return same == (filter_.operator == "=")


def ascii_lower(text: str) -> str:
    """Return the text as Postgres' lower() in the collation C makes it."""
    return text.translate(_LOWER)
