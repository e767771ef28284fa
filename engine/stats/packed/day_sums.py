"""Day sums: the counts of one packed UTC day by value of each dimension, kept beside its columns.

A question about whole days reads them instead of the clicks, so a day costs it the same however many clicks it
has. Of the whole profile there are also the counts up to each quarter of an hour, by which a day of another
zone is cut out. Numbers are exact, visitors included, as a visitor is one of a UTC day.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from engine.clicks.day_rows import BOT, EVENT
from engine.clicks.dimension import ALL_LINKS, EVENT_DIMENSIONS, MULTIVALUED, Dimension
from engine.stats.packed.column_sums import ColumnSums, group_sums, passes_statement, quarter
from engine.stats.packed.numbering import distinct_in_groups, number_groups
from engine.stats.packed.packed_clicks import (
    COLUMN_OF,
    COUNTED_AS,
    TEXT_MARK,
    Numbers,
    compress,
    decompress,
)
from engine.stats.packed.profile_clicks import QUARTERS, ProfileClicks, quarter_of
from engine.stats.parameters.filter_values import CASELESS
from engine.stats.plan import CountsStatement

# Where a dimension has more values, a question about them reads the columns, which are not much longer.
MAX_VALUES: Final = 1_000
_DIMENSIONS: Final = (*(d for d in COLUMN_OF if d not in EVENT_DIMENSIONS), Dimension.LINK)
_PARTS: Final = (Dimension.TOTAL, *_DIMENSIONS)
_PLACE_BYTES: Final = 4
_CLASSES: Final = 3  # clicks, views, bots; own events have no sums
_DTYPES: Final = MappingProxyType({1: "u1", 2: "<u2", 4: "<u4"})


class QuarterSums(NamedTuple):
    """Counts of a day up to and with each of its quarters that has clicks, ascending.

    `counts` has the shape (quarters, 5): clicks, views and bots up to the quarter, visitors up to it, and
    visitors from it on.
    """

    quarters: Numbers
    counts: Numbers


class ValueSums(NamedTuple):
    """Counts of a day by value. `counts` has the shape (values, 4): clicks, views, bots, visitors."""

    names: Sequence[str]
    counts: Numbers


class DaySums:
    """The sums of one day, or some of their parts, by part_number(). Each is unpacked when it is first used."""

    def __init__(self, parts: Mapping[int, bytes]) -> None:
        self._parts = parts
        self._values: dict[Dimension, ValueSums] = {}

    @cached_property
    def total(self) -> QuarterSums:
        quarters, counts = self._part(Dimension.TOTAL)
        numbers = np.frombuffer(decompress(quarters), np.uint8).astype(np.int64)
        return QuarterSums(numbers, _unpacked(counts, _CLASSES + 2))

    def values(self, dimension: Dimension) -> ValueSums:
        """Return the sums of a dimension's values; of TOTAL there are none."""
        if dimension not in self._values:
            names, counts = self._part(dimension)
            texts = decompress(names).decode().split(TEXT_MARK)
            self._values[dimension] = ValueSums(texts, _unpacked(counts, _CLASSES + 1))
        return self._values[dimension]

    def _part(self, dimension: Dimension) -> tuple[bytes, bytes]:
        return msgspec.msgpack.decode(self._parts[part_number(dimension)], type=tuple[bytes, bytes])


def part_number(dimension: Dimension) -> int:
    """Return which part of the sums is of a dimension. Raises ValueError for one that has no sums."""
    return _PARTS.index(dimension)


def day_sums_parts(data: bytes) -> dict[int, bytes]:
    """Return the parts of packed sums by their numbers.

    In front of the parts stand their places: 4 bytes for each, big-endian, and 4 for the end of the last. So
    Postgres cuts out a part without reading the others (storage/stats/pieces.sql).
    """
    places = np.frombuffer(data, ">u4", len(_PARTS) + 1).tolist()
    return {number: data[start:end] for number, (start, end) in enumerate(pairwise(places))}


def _with_places(parts: Sequence[bytes]) -> bytes:
    first = _PLACE_BYTES * (len(parts) + 1)
    places = np.cumsum([first, *map(len, parts)]).astype(">u4")
    return b"".join((places.tobytes(), *parts))


def pack_day_sums(clicks: ProfileClicks, day: date) -> bytes | None:
    """Return the sums of the clicks of one day, of which there must be some; None: a dimension has more values
    than MAX_VALUES."""
    if any(len(clicks.values(dimension).names) > MAX_VALUES for dimension in _DIMENSIONS):
        return None
    counted = np.flatnonzero(clicks.counted_as != EVENT)
    if not len(counted):
        return None
    visitors = number_groups((clicks.visitors,)).group
    known = (clicks.visitors != 0) & (clicks.counted_as != BOT) & (clicks.counted_as != EVENT)
    value_parts = []
    for dimension in _DIMENSIONS:
        of, codes, names = clicks.values(dimension)
        classes = len(COUNTED_AS)
        counts = np.bincount(codes * classes + clicks.counted_as[of], None, classes * len(names))
        chosen = np.flatnonzero(known[of])
        different = distinct_in_groups(codes[chosen], len(names), visitors[of[chosen]])
        table = np.column_stack((counts.reshape(-1, classes)[:, :_CLASSES], different))
        used = np.flatnonzero(table.any(axis=1))
        texts = TEXT_MARK.join([names[code] for code in used.tolist()])
        value_parts.append(_part(compress(texts.encode()), _packed(table[used])))
    quarters = group_sums(clicks, counted, (clicks.quarters[counted],), visitors=False)
    (places,) = quarters.keys
    around = _visitors_around(clicks, np.flatnonzero(known), places)
    table = np.column_stack((np.cumsum(quarters.counts, axis=0), *around))
    in_day = (places - quarter_of(day)).astype(np.uint8).tobytes()
    return _with_places([_part(compress(in_day), _packed(table)), *value_parts])


def _visitors_around(
    clicks: ProfileClicks, known: Numbers, quarters: Numbers
) -> tuple[Numbers, Numbers]:
    """Return how many visitors of the clicks `known` there are up to each quarter, and from each quarter on."""
    visitor, _ = number_groups((clicks.visitors[known],))
    place = np.searchsorted(quarters, clicks.quarters[known])
    visitors = int(visitor.max(initial=-1)) + 1
    first = np.full(visitors, len(quarters), np.int64)
    last = np.full(visitors, -1, np.int64)
    np.minimum.at(first, visitor, place)
    np.maximum.at(last, visitor, place)
    begun = np.cumsum(np.bincount(first, minlength=len(quarters)))
    ended = np.cumsum(np.bincount(last, minlength=len(quarters)))
    return begun, visitors - np.append(0, ended[:-1])


def _part(keys: bytes, counts: bytes) -> bytes:
    return msgspec.msgpack.encode((keys, counts))


def _packed(table: Numbers) -> bytes:
    """Return a table of numbers in the fewest bytes for each, behind their width."""
    width = next(width for width, dtype in _DTYPES.items() if table.max() <= np.iinfo(dtype).max)
    return bytes((width,)) + compress(table.astype(_DTYPES[width]).tobytes())


def _unpacked(data: bytes, columns: int) -> Numbers:
    numbers = np.frombuffer(decompress(data[1:]), _DTYPES[data[0]]).astype(np.int64)
    return numbers.reshape(-1, columns)


# ---- which days of a statement have sums ----------------------------------------------------------------


def days_by_sums(statement: CountsStatement, first: date, last: date) -> set[date]:
    """Return the UTC days among `first` to `last` that the statement may count by their sums alone."""
    if not _summable(statement):
        return set()
    days = np.arange(first.toordinal(), last.toordinal() + 1)
    before, after = _rows_around(statement, quarter_of(first) + (days - days[0]) * QUARTERS)
    cuts = 1 if statement.dimension is Dimension.TOTAL else 0
    return {date.fromordinal(day) for day in days[after - before <= cuts].tolist()}


def _summable(statement: CountsStatement) -> bool:
    """Return whether the sums of a day's values add up to those of the statement."""
    if statement.by_link or statement.links is None or ALL_LINKS not in statement.links:
        return False
    if statement.of_events or statement.dimension in EVENT_DIMENSIONS:
        return False
    if statement.by_value or statement.dimension is Dimension.TOTAL:
        return True
    if len(statement.filters) == 1 and statement.filters[0].operator == "=":
        # Of several values a visitor, and of variants a click, may have more than one.
        return len(statement.filters[0].values) == 1 and statement.dimension not in CASELESS
    return statement.sketches is None and statement.dimension not in MULTIVALUED


def _rows_around(statement: CountsStatement, starts: Numbers) -> tuple[Numbers, Numbers]:
    """Return the row of the first and of the last quarter of days that start at `starts`.

    0: before the first row; one more than there are rows: after the last.
    """
    split = statement.split
    edges = np.array([quarter(moment) for moment in (*split.starts, split.end)])
    before: Numbers = np.searchsorted(edges, starts, "right")
    after: Numbers = np.searchsorted(edges, starts + QUARTERS - 1, "right")
    return before, after


# ---- sums of days -----------------------------------------------------------------------------------------


def sums_of_days(statement: CountsStatement, days: Sequence[tuple[date, DaySums]]) -> ColumnSums:
    """Return the sums of a statement over days that days_by_sums() has named, in no order."""
    starts = np.array([quarter_of(day) for day, _ in days], np.int64)
    before, after = _rows_around(statement, starts)
    rows = len(statement.split.starts)
    if statement.dimension is Dimension.TOTAL:
        parts = _total_parts(statement, days, starts, before, after)
        return _joined(statement, ("",), parts, rows)
    value_sums = [sums.values(statement.dimension) for _, sums in days]
    names = dict.fromkeys(chain.from_iterable(sums.names for sums in value_sums))
    numbers = {name: number for number, name in enumerate(names)}
    passing = np.array([passes_statement(name, statement) for name in numbers], bool)
    value_parts = []
    for sums, row in zip(value_sums, before.tolist(), strict=True):
        codes = np.fromiter(map(numbers.__getitem__, sums.names), np.int64, len(sums.names))
        chosen = passing[codes]
        value_parts.append((codes[chosen], row, sums.counts[chosen]))
    return _joined(statement, tuple(numbers), value_parts, rows)


_Part: TypeAlias = tuple[Numbers, int, Numbers]  # numbers of values, row of the answer, counts


def _total_parts(
    statement: CountsStatement,
    days: Sequence[tuple[date, DaySums]],
    starts: Numbers,
    before: Numbers,
    after: Numbers,
) -> Iterable[_Part]:
    """Yield the counts of the whole profile on each day, or those of both its parts."""
    split = statement.split
    edges = [quarter(moment) for moment in (*split.starts, split.end)]
    code = np.zeros(1, np.int64)
    for (_, sums), start, first, last in zip(
        days, starts.tolist(), before.tolist(), after.tolist(), strict=True
    ):
        quarters, counts = sums.total
        whole = counts[-1:, : _CLASSES + 1]
        if first == last:
            yield code, first, whole
            continue
        place = int(np.searchsorted(quarters, edges[first] - start))
        if place:
            yield code, first, counts[place - 1 : place, : _CLASSES + 1]
        if place < len(quarters):
            rest = whole.copy()
            if place:
                rest[:, :_CLASSES] -= counts[place - 1 : place, :_CLASSES]
            rest[:, _CLASSES] = counts[place, _CLASSES + 1]
            yield code, last, rest


def _joined(
    statement: CountsStatement, names: Sequence[str], parts: Iterable[_Part], rows: int
) -> ColumnSums:
    """Return the parts added up by value and row; those outside the rows are left out."""
    kept = [(codes, row, counts) for codes, row, counts in parts if 1 <= row <= rows and len(codes)]
    if not kept:
        return ColumnSums([], [], [], [], [], [], [])
    codes = np.concatenate([codes for codes, _, _ in kept])
    row = np.concatenate([np.full(len(codes), row) for codes, row, _ in kept])
    counts = np.concatenate([counts for _, _, counts in kept])
    if not statement.by_value:
        codes, names = np.zeros(len(codes), np.int64), ("",)
    group, firsts = number_groups((codes, row))
    clicks, views, bots, visitors = (
        np.bincount(group, column, len(firsts)).astype(np.int64).tolist() for column in counts.T
    )
    values = [names[code] for code in codes[firsts].tolist()]
    groups = len(firsts)
    return ColumnSums(
        [None] * groups, list(values) if statement.by_value else [None] * groups,
        row[firsts].tolist(), clicks, views, bots, visitors,
    )  # fmt: skip
