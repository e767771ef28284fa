"""Compacted days: the counts of one dimension value in a UTC day, cumulated by quarters of an hour.

Days of every time zone begin and end at a quarter of an hour of UTC, so counts up to each quarter give the
counts of a local day by one subtraction. Numbers of visitors cannot be subtracted: a row has those up to
each quarter and from each quarter on, and the quarters' sketches for parts in the middle of a day.
Pseudonyms change with the UTC day, so visitors of two days add up.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from engine.stats import sketch

QUARTERS = 96


class QuarterHour(NamedTuple):
    """Counts of a quarter of an hour. `sketch` None: no visitor with a pseudonym."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    sketch: bytes | None = None

    def merged_with(self, other: "QuarterHour") -> "QuarterHour":
        sketches = [quarter for quarter in (self.sketch, other.sketch) if quarter is not None]
        return QuarterHour(
            self.clicks + other.clicks,
            self.views + other.views,
            self.bots + other.bots,
            sketch.union(sketches) if len(sketches) > 1 else next(iter(sketches), None),
        )


Day = Mapping[int, QuarterHour]


class CompactedDay(NamedTuple):
    """A row of dimension_quarters: columns with an element for each of its quarters, at least one."""

    at: Sequence[int]
    clicks: Sequence[int]
    views: Sequence[int]
    bots: Sequence[int]
    visitors: Sequence[int]
    visitors_before: Sequence[int]
    visitors_after: Sequence[int]
    sketches: Sequence[bytes | None]

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """The clicks, views, bots and visitors of the whole day."""
        return self.clicks[-1], self.views[-1], self.bots[-1], self.visitors_before[-1]


def merge_days(first: Day, second: Day) -> dict[int, QuarterHour]:
    """Return the sum of two days, by quarter (0 to 95)."""
    none = QuarterHour()
    return {
        at: first.get(at, none).merged_with(second.get(at, none))
        for at in sorted({*first.keys(), *second.keys()})
    }


def compact_quarters(day: Day) -> CompactedDay:
    """Return the row of a day; expand_day() is the inverse."""
    at = sorted(day)
    quarters = [day[number] for number in at]
    sketches = [quarter.sketch for quarter in quarters]
    clicks, views, bots = (
        list(accumulate(column))
        for column in zip(*(quarter[:3] for quarter in quarters), strict=True)
    )
    return CompactedDay(
        at,
        clicks,
        views,
        bots,
        [sketch.union_size([part] if part else []) for part in sketches],
        sketch.cumulative_sizes(sketches),
        sketch.cumulative_sizes(sketches[::-1])[::-1],
        sketches,
    )


def expand_day(row: CompactedDay) -> dict[int, QuarterHour]:
    """Return the quarters of a row, by number; compact_quarters() is the inverse."""
    columns = (
        (now - before for now, before in zip(column, chain((0,), column), strict=False))
        for column in (row.clicks, row.views, row.bots)
    )
    quarters = map(QuarterHour, *columns, row.sketches)
    return dict(zip(row.at, quarters, strict=True))
