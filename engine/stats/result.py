"""Results of a stats query."""

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

TimeInterval = Literal["15m", "hour", "day", "week", "month"]


INTERVALS: Final[tuple[str, ...]] = get_args(TimeInterval)


class MetricValues(msgspec.Struct, frozen=True):
    """Sums. `visitors` None: not asked for."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int | None = None


class StatsRow(msgspec.Struct, frozen=True):
    """`time` is the start of the interval, aware, in the asked zone, or None where rows are not by time;
    `values` stand in the order of the query's groups, '' for what is not known."""

    time: datetime | None
    clicks: int
    views: int
    bots: int = 0
    visitors: int | None = None
    values: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that have counts: by time oldest first, of groups in the order asked for. `totals` are of all that
    the query's filters let pass, also of groups beyond its limit. `as_of`: when the last fold was committed,
    if ever."""

    rows: tuple[StatsRow, ...]
    as_of: datetime | None
    totals: MetricValues = MetricValues()
