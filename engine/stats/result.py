"""Results of a stats query."""

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

TimeInterval = Literal["15m", "hour", "day", "week", "month"]


INTERVALS: Final[tuple[str, ...]] = get_args(TimeInterval)


class MetricValues(msgspec.Struct, frozen=True):
    """Sums. `visitors` None: not among the metrics of the query."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int | None = None


class StatsRow(msgspec.Struct, frozen=True):
    """A row of an answer.

    `time` is the start of the interval, aware, in the query's zone, or None where rows are not by time;
    `values` stand in the order of the query's groups, '' for what is not known.
    """

    time: datetime | None
    clicks: int
    views: int
    bots: int = 0
    visitors: int | None = None
    values: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: rows that have counts, by time oldest first, of groups in the query's order.

    `totals` are of all rows that pass the query's filters, also of groups beyond its limit. `as_of`: when the
    last fold was committed, if ever.
    """

    rows: tuple[StatsRow, ...]
    as_of: datetime | None
    totals: MetricValues = MetricValues()
