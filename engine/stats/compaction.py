"""A UTC day of one value as the daily aggregation keeps it: cumulated by quarter of an hour.

Any zone's day begins and ends at a quarter of an hour of UTC, so counts up to each quarter give every local
day by one subtraction. Visitors cannot be subtracted: how many there are up to a quarter, and from it on, is
kept as numbers, and the sketches of the quarters for parts in the midst of a day. Visitors of another UTC day
are others.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from engine.stats import sketch

QUARTERS = 96


class QuarterHour(NamedTuple):
    """What happened in a quarter of an hour. No sketch: no visitor that is known."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    sketch: bytes | None = None

    def with_(self, other: "QuarterHour") -> "QuarterHour":
        sketches = [one for one in (self.sketch, other.sketch) if one is not None]
        return QuarterHour(
            self.clicks + other.clicks,
            self.views + other.views,
            self.bots + other.bots,
            sketch.union(sketches) if len(sketches) > 1 else next(iter(sketches), None),
        )


Day = Mapping[int, QuarterHour]


class CompactedDay(NamedTuple):
    """A row of dimension_quarters; there is always at least one quarter."""

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
        """Clicks, views, bots and visitors of the whole day."""
        return self.clicks[-1], self.views[-1], self.bots[-1], self.visitors_before[-1]


def merge_days(one: Day, other: Day) -> dict[int, QuarterHour]:
    none = QuarterHour()
    return {
        at: one.get(at, none).with_(other.get(at, none))
        for at in sorted({*one.keys(), *other.keys()})
    }


def compact_quarters(day: Day) -> CompactedDay:
    at = sorted(day)
    quarters = [day[one] for one in at]
    sketches = [one.sketch for one in quarters]
    clicks, views, bots = (
        list(accumulate(column)) for column in zip(*(one[:3] for one in quarters), strict=True)
    )
    return CompactedDay(
        at,
        clicks,
        views,
        bots,
        [sketch.union_size([one] if one else []) for one in sketches],
        sketch.cumulative_sizes(sketches),
        sketch.cumulative_sizes(sketches[::-1])[::-1],
        sketches,
    )


def expand_day(row: CompactedDay) -> dict[int, QuarterHour]:
    """The quarters that `compacted` made the row of."""
    columns = (
        (now - before for now, before in zip(column, chain((0,), column), strict=False))
        for column in (row.clicks, row.views, row.bots)
    )
    quarters = map(QuarterHour, *columns, row.sketches)
    return dict(zip(row.at, quarters, strict=True))
