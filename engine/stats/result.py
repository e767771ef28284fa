"""Results of a stats query."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from engine.stats.conversion_question import ConversionSum
from engine.stats.parameters.group_cursor import GroupCursor

TimeInterval = Literal["15m", "hour", "day", "week", "month", "quarter", "year"]


INTERVALS: Final[tuple[str, ...]] = get_args(TimeInterval)


class MetricValues(msgspec.Struct, frozen=True):
    """Sums of metrics. `clicks` of a query of own events are these. `visitors` or `conversions` None: not among
    the metrics of the query."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int | None = None
    conversions: ConversionSum | None = None


class StatsRow(msgspec.Struct, frozen=True):
    """A row of an answer.

    `time` is the start of the interval, aware, in the query's zone, or None if rows are not by time.
    `values` are in the order of the query's groups; '': not known. A row by hour of the week has it as its
    value, from 0: the first hour of Monday.
    """

    time: datetime | None
    clicks: int
    views: int
    bots: int = 0
    visitors: int | None = None
    values: tuple[str, ...] = ()
    conversions: ConversionSum | None = None


class LinkName(NamedTuple):
    """Names of a link: the handle of its profile, its slug (None: it is the page) and title."""

    handle: str
    slug: str | None
    title: str


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: rows with counts, oldest first, groups in the query's order.

    `totals` are of all rows that pass the query's filters, groups beyond its limit included. `as_of`: when the
    last fold was committed, or None. `next`: the cursor of further groups, if there are any. `compared`: the
    answer for the period of the query's comparison. `links`: names of the links that rows are of, by id; a
    deleted link has none.
    """

    rows: tuple[StatsRow, ...]
    as_of: datetime | None
    totals: MetricValues = MetricValues()
    next: GroupCursor | None = None
    compared: "Stats | None" = None
    links: Mapping[str, LinkName] = MappingProxyType({})
