"""Stats queries: conditions, groups, metrics and order.

| parameter | meaning | default |
|---|---|---|
| `from`, `to` | the half-open period [from, to): instants, or local dates and times read in `tz` | the last 30 days |
| `interval` | `15m`, `hour`, `day`, `week` or `month`, cut by the clocks of `tz` | `day` |
| `tz` | an IANA zone | `UTC` |
| `group` | up to two of `time` and the dimensions | `time` |
| `metrics` | of `clicks`, `visitors`, `views`, `click_rate`, `bots` | all; by the hour and less, without visitors |
| `filter[dimension]=v` | only this value; empty: not known | |
| `filter[dimension]!=v`, `filter[dimension]~=v` | all but this value; values that contain it, ignoring the case of A to Z | |
| `link` | short for `filter[link]` | |
| `compare` | `previous`: add the previous period of the same length | |
| `order`, `limit` | of groups: a metric or `value`, with `-` from the highest; how many | `-clicks`, 100 |

engine/stats/query_parser.py reads them.
"""  # noqa: E501  # the table is read as it stands

from datetime import UTC, datetime, time
from typing import Final, Literal, get_args

import msgspec

from engine.clicks.dimension import Dimension
from engine.stats import calendar, period
from engine.stats.result import TimeInterval

StatsMetric = Literal["clicks", "visitors", "views", "click_rate", "bots"]
STATS_METRICS: Final[tuple[str, ...]] = get_args(StatsMetric)
Operator = Literal["=", "!=", "~="]
DEFAULT_LIMIT: Final = 100
MAX_ROWS: Final = 20_000


class Filter(msgspec.Struct, frozen=True):
    """A condition on the value of a dimension; '': not known."""

    dimension: Dimension
    operator: Operator
    value: str


class StatsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one profile in [start, end), both aware and in UTC, in whole quarters of an hour.

    `groups` are dimensions, at most two with the time; `by_time` says whether rows are by `interval` of zone
    `tz`, too. `order` is a metric or `value`; `limit` bounds the groups, not the intervals.
    """

    start: datetime
    end: datetime
    interval: TimeInterval
    tz: str
    by_time: bool = True
    groups: tuple[Dimension, ...] = ()
    metrics: tuple[StatsMetric, ...] = ("clicks", "views", "bots")
    filters: tuple[Filter, ...] = ()
    order: str = "clicks"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    previous: bool = False

    @property
    def fine(self) -> bool:
        """Whether rows are shorter than a day."""
        return self.by_time and self.interval in ("15m", "hour")

    @property
    def visitors(self) -> bool:
        """Whether visitors are among the metrics."""
        return "visitors" in self.metrics

    @property
    def dimensions(self) -> frozenset[Dimension]:
        """The dimensions that the query groups or filters by."""
        return frozenset(self.groups) | {filter_.dimension for filter_ in self.filters}

    def filters_of(self, dimension: Dimension) -> tuple[Filter, ...]:
        return tuple(filter_ for filter_ in self.filters if filter_.dimension is dimension)


def previous_period(query: StatsQuery) -> StatsQuery:
    """Return the query for the previous period, of equal length by the local calendar.

    Before whole months come as many months, and before whole days as many days. If either end is no local
    midnight, the previous period has as many hours.
    """
    tz = period.zone(query.tz)
    # Days begin at one o'clock where clocks change at midnight.
    first, last = (
        datetime.combine(end.astimezone(tz).date(), time()) for end in (query.start, query.end)
    )
    midnights = [calendar.midnight(day, tz).astimezone(UTC) for day in (first, last)]
    if midnights != [query.start, query.end]:
        before = query.start - (query.end - query.start)
    elif first.day == last.day == 1:
        months = (last.year - first.year) * 12 + last.month - first.month
        index = first.year * 12 + first.month - 1 - months
        before = calendar.midnight(datetime(index // 12, index % 12 + 1, 1), tz)
    else:
        before = calendar.midnight(first - (last - first), tz)
    return msgspec.structs.replace(
        query, start=period.floor_quarter(before.astimezone(UTC)), end=query.start, previous=False
    )
