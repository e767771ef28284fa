"""Results of a stats query."""

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

TimeInterval = Literal["15m", "hour", "day", "week", "month"]


INTERVALS: Final[tuple[str, ...]] = get_args(TimeInterval)


class MetricValues(msgspec.Struct, frozen=True):
    """Sums of metrics. `visitors` None: not among the metrics of the query."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int | None = None


class StatsRow(msgspec.Struct, frozen=True):
    """A row of an answer.

    `time` is the start of the interval, aware, in the query's zone, or None if rows are not by time.
    `values` are in the order of the query's groups; '': not known.
    """

    time: datetime | None
    clicks: int
    views: int
    bots: int = 0
    visitors: int | None = None
    values: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: rows with counts, oldest first, groups in the query's order.

    `totals` are of all rows that pass the query's filters, groups beyond its limit included. `as_of`: when the
    last fold was committed, or None.
    """

    rows: tuple[StatsRow, ...]
    as_of: datetime | None
    totals: MetricValues = MetricValues()
