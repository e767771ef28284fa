"""Stats queries: conditions, groups, metrics and order.

| parameter | meaning | default |
|---|---|---|
| `from`, `to` | the half-open period [from, to): instants, or local dates and times read in `tz` | the last 30 days |
| `period` | instead of them: `7d`, `28d`, `month`, `quarter`, `year`, `all` and the like (engine/stats/parameters/named_period.py) | |
| `interval` | `15m`, `hour`, `day`, `week`, `month`, `quarter` or `year`, cut by the clocks of `tz` | `day`; `month` of `all` |
| `week_start` | the weekday with which weeks begin, `monday` to `sunday` | `monday` |
| `tz` | an IANA zone | `UTC` |
| `group` | up to two of `time` and the dimensions; or `hour_of_week` | `time` |
| `metrics` | of `clicks`, `visitors`, `views`, `click_rate`, `bots`; `conversions`, `revenue`, `conversion_rate` | the first five; by the hour and less, without visitors |
| | of own events: `events`, `visitors` | both; by the hour and less, `events` |
| `filter[dimension]=v` | only these values, with commas between; empty: not known | |
| `filter[dimension]!=v`, `filter[dimension]~=v` | all but these values; values that contain one of these texts, ignoring the case of A to Z | |
| `link` | short for `filter[link]` | |
| `compare` | `previous`, `year` or `from..to`: add another period (engine/stats/parameters/comparison.py) | |
| `fill` | by time: `zero`, a row for each interval, or `none` | `zero` |
| `order`, `limit` | of groups: a metric or `value`, with `-` from the highest; how many | `-clicks` (`-events`), 100 |
| `cursor` | the groups after those of the page before (engine/stats/parameters/group_cursor.py) | |

A query that has the metric `events`, or a group or filter by `event` or `property`, is of own events: it counts
these and their visitors, and nothing else. All others leave them out.

engine/stats/query_parser.py reads them.
"""  # noqa: E501  # the table is read as it stands

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from engine.clicks.dimension import Dimension
from engine.stats.parameters.comparison import Comparison
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.result import TimeInterval

StatsMetric = Literal[
    "clicks", "visitors", "views", "click_rate", "bots", "conversions", "revenue", "conversion_rate",
    "events",
]  # fmt: skip
STATS_METRICS: Final[tuple[str, ...]] = get_args(StatsMetric)
# Those of conversions are read from other tables, and only if a query names them.
CONVERSION_METRICS: Final = ("conversions", "revenue", "conversion_rate")
CLICK_METRICS: Final = ("clicks", "visitors", "views", "click_rate", "bots")
EVENT_METRICS: Final = ("events", "visitors")  # of own events
ORDERS: Final = (
    "clicks", "visitors", "views", "click_rate", "bots", "conversions", "events", "value",
)  # fmt: skip
Operator = Literal["=", "!=", "~="]
DEFAULT_LIMIT: Final = 100
MAX_ROWS: Final = 20_000


class Filter(msgspec.Struct, frozen=True):
    """A condition on the values of a click in a dimension: one of `values`, none of them, or one that contains
    one of them; '': not known. A dimension has at most one filter with `=`."""

    dimension: Dimension
    operator: Operator
    values: tuple[str, ...]


class StatsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one profile in [start, end), both aware and in UTC, in whole quarters of an hour.

    `groups` are dimensions, at most two with the time; `by_time` says whether rows are by `interval` of zone
    `tz`, too, and `fill` whether intervals without counts have rows. `week_start` is the weekday with which
    weeks begin; 0: Monday. `by_hour_of_week`: rows are by hour of the local week instead. `order` is a metric
    or `value`; `limit` bounds the groups, not the intervals, and `after` leaves out those up to a group.
    `only`: rows are of these groups, in this order, whatever `order` and `limit` say. `of_events`: it counts
    own events.
    """

    start: datetime
    end: datetime
    interval: TimeInterval
    tz: str
    week_start: int = 0
    by_time: bool = True
    by_hour_of_week: bool = False
    fill: bool = False
    groups: tuple[Dimension, ...] = ()
    metrics: tuple[StatsMetric, ...] = ("clicks", "views", "bots")
    filters: tuple[Filter, ...] = ()
    order: str = "clicks"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    after: GroupCursor | None = None
    only: tuple[tuple[str, ...], ...] | None = None
    comparison: Comparison | None = None
    of_events: bool = False

    @property
    def fine(self) -> bool:
        """Whether rows are shorter than a day."""
        return self.by_time and self.interval in ("15m", "hour")

    @property
    def visitors(self) -> bool:
        """Whether visitors are among the metrics."""
        return "visitors" in self.metrics

    @property
    def conversions(self) -> bool:
        """Whether the answer takes conversions."""
        return self.order == "conversions" or not set(CONVERSION_METRICS).isdisjoint(self.metrics)

    @property
    def dimensions(self) -> frozenset[Dimension]:
        """The dimensions that the query groups or filters by."""
        return frozenset(self.groups) | {filter_.dimension for filter_ in self.filters}

    def filters_of(self, dimension: Dimension) -> tuple[Filter, ...]:
        return tuple(filter_ for filter_ in self.filters if filter_.dimension is dimension)


def compared_query(
    query: StatsQuery, comparison: Comparison, groups: tuple[tuple[str, ...], ...]
) -> StatsQuery:
    """Return the query for the period of its comparison, for the groups of its own answer."""
    return msgspec.structs.replace(
        query,
        start=comparison.start,
        end=comparison.end,
        after=None,
        only=groups if query.groups else None,
        comparison=None,
    )
