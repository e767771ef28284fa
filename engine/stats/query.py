"""What may be asked of the counts, and which of their tables answers it.

| parameter | meaning | default |
|---|---|---|
| `from`, `to` | the half-open period [from, to): instants, or local dates and times read in `tz` | the last 30 days |
| `interval` | `15m`, `hour`, `day`, `week` or `month`, cut by the clocks of `tz` | `day` |
| `tz` | an IANA zone | `UTC` |
| `group` | up to two of `time` and the dimensions | `time` |
| `metrics` | of `clicks`, `visitors`, `views`, `click_rate`, `bots` | all; by the hour and less, without visitors |
| `filter[dimension]=v` | only that value; empty: not known | |
| `filter[dimension]!=v`, `filter[dimension]~=v` | every value but that; values that contain it, A and a alike | |
| `link` | short for `filter[link]` | |
| `compare` | `previous`: the period of the same length before, too | |
| `order`, `limit` | of groups: a metric or `value`, with `-` from the highest; how many | `-clicks`, 100 |

Every bad parameter is named at once.
"""  # noqa: E501  # the table is read as it stands

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from engine.clicks.dimension import BY_NAME, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import calendar, period
from engine.stats.result import INTERVALS, TimeInterval

StatsMetric = Literal["clicks", "visitors", "views", "click_rate", "bots"]
STATS_METRICS: Final[tuple[str, ...]] = get_args(StatsMetric)
Operator = Literal["=", "!=", "~="]
TIME: Final = "time"
MAX_GROUPS: Final = 2
MAX_FILTERS: Final = 8
MAX_VALUE_CHARS: Final = 255
DEFAULT_LIMIT: Final = 100
DEFAULT_SERIES: Final = 10  # values of a dimension that have a row for each interval
MAX_LIMIT: Final = 1_000
MAX_ROWS: Final = 20_000
# Visitors of an hour are found by merging sketches of its quarters, which are large.
VISITORS_BY_HOUR_DAYS: Final = 31
# Values that people search in; those of the others are few and known.
SEARCHABLE: Final = frozenset(
    {
        Dimension.REGION, Dimension.CITY, Dimension.BROWSER, Dimension.OS, Dimension.REFERRER,
        Dimension.SOURCE, Dimension.UTM_SOURCE, Dimension.UTM_MEDIUM, Dimension.UTM_CAMPAIGN,
        Dimension.UTM_TERM, Dimension.UTM_CONTENT, Dimension.DOMAIN,
    }
)  # fmt: skip
_ALIASES: Final = {"page_views": "views"}
_FILTER: Final = re.compile(r"filter\[([a-z_]{1,32})\]([!~]?)")
_LIMIT: Final = re.compile(r"[0-9]{1,6}")
_LINK: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_ID: Final = 2**63 - 1
_PLAIN: Final = (
    "from", "to", "interval", "tz", "group", "metrics", "link", "compare", "order", "limit",
)  # fmt: skip


class Filter(msgspec.Struct, frozen=True):
    """A condition on the value of a dimension; '' is not known."""

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
    def dimensions(self) -> frozenset[Dimension]:
        """Those that are in play."""
        return frozenset(self.groups) | {one.dimension for one in self.filters}


class RowSelection(NamedTuple):
    """The rows of the tables that answer a query.

    `link` is the scope: one link's rows, those of the whole profile (None), or with `each_link` of every
    link that passes `link_filters`. `filters` are of `dimension`.
    """

    dimension: Dimension
    filters: tuple[Filter, ...]
    link: int | None = None
    each_link: bool = False
    link_filters: tuple[Filter, ...] = ()


def select_rows(query: StatsQuery) -> RowSelection | None:
    """How the rollups answer it; None when they do not, as two dimensions but link and time cross."""
    others = query.dimensions - {Dimension.LINK}
    if len(others) > 1:
        return None
    of_link = tuple(one for one in query.filters if one.dimension is Dimension.LINK)
    many_links = Dimension.LINK in query.groups or any(one.operator != "=" for one in of_link)
    if not others and many_links:
        return RowSelection(Dimension.LINK, of_link)
    dimension = next(iter(others), Dimension.TOTAL)
    filters = tuple(one for one in query.filters if one.dimension is dimension)
    if many_links:
        return RowSelection(dimension, filters, None, True, of_link)
    return RowSelection(dimension, filters, int(of_link[0].value) if of_link else None)


def parse_query(pairs: Sequence[tuple[str, str]], now: datetime) -> StatsQuery:
    """The query that a request's parameters make. Raises InvalidError with every bad one."""
    return _Reader(pairs, now).query()


class _Reader:
    """Reads parameters one by one, and keeps what is wrong."""

    def __init__(self, pairs: Sequence[tuple[str, str]], now: datetime) -> None:
        self._now = now
        self._errors: list[FieldError] = []
        self._given: dict[str, str] = {}
        self._filters: list[Filter] = []
        seen: set[str] = set()
        for name, value in pairs:
            match = _FILTER.fullmatch(name)
            if match is None and name not in _PLAIN:
                hint = f"there are {', '.join(_PLAIN)}, filter[dimension]"
                self._bad(printable_name(name), f"is not a parameter here; {hint}")
            elif name in seen and (match is None or not match[2]):
                self._bad(name, "is given more than once")
            elif match is not None:
                self._filter(name, match[1], match[2] + "=", value)
            else:
                self._given[name] = value
            seen.add(name)

    def query(self) -> StatsQuery:
        interval = self._interval()
        tz = self._zone()
        asked = {name: self._moment(name, tz) for name in ("from", "to")}
        by_time, groups = self._groups()
        fine = by_time and interval in ("15m", "hour")
        metrics = self._metrics(fine)
        order, descending = self._order(metrics)
        previous = self._compare()
        limit = self._limit(DEFAULT_SERIES if by_time and groups else DEFAULT_LIMIT)
        if "link" in self._given:
            if any(f.dimension is Dimension.LINK and f.operator == "=" for f in self._filters):
                self._bad("link", "is given as filter[link], too")
            self._filter("link", "link", "=", self._given["link"])
        if len(self._filters) > MAX_FILTERS:
            self._bad("filter", f"is given more than {MAX_FILTERS} times")
        known_period = not any(e.field in ("from", "to", "tz", "interval") for e in self._errors)
        start = end = self._now
        if known_period:
            start, end = period.parse_period(asked["from"], asked["to"], interval, tz, self._now)
            self._bounded(start, end, interval, by_time, fine, metrics, limit if groups else 1)
        if self._errors:
            raise InvalidError(self._errors)
        return StatsQuery(
            start=start, end=end, interval=interval, tz=tz.key, by_time=by_time, groups=groups,
            metrics=metrics, filters=tuple(self._filters), order=order, descending=descending,
            limit=limit, previous=previous,
        )  # fmt: skip

    def _bounded(
        self, start: datetime, end: datetime, interval: TimeInterval, by_time: bool, fine: bool,
        metrics: tuple[StatsMetric, ...], series: int,
    ) -> None:  # fmt: skip
        """What would make an answer too long, or too dear to find."""
        if start >= end:
            self._bad("from", "must be before `to`")
        elif by_time and period.period_error(start, end, interval):
            days = period.LONGEST_DAYS[interval]
            self._bad(
                "interval",
                f"{interval} takes a period of at most {days} days; ask for a longer interval",
            )
        elif by_time and series > 1 and _rows(start, end, interval) * series > MAX_ROWS:
            self._bad(
                "limit",
                f"times the number of intervals makes more than {MAX_ROWS} rows; "
                "ask for fewer groups, a shorter period or a longer interval",
            )
        elif (
            fine
            and "visitors" in metrics
            and end - start > timedelta(days=VISITORS_BY_HOUR_DAYS, hours=2)
        ):
            days = VISITORS_BY_HOUR_DAYS
            self._bad("metrics", f"visitors by {interval} take a period of at most {days} days")

    def _filter(self, field: str, name: str, operator: str, value: str) -> None:
        dimension = BY_NAME.get(name)
        if dimension is None:
            self._bad(field, f"is no dimension; there are {', '.join(BY_NAME)}")
        elif len(value) > MAX_VALUE_CHARS or not value.isprintable():
            self._bad(field, f"must be at most {MAX_VALUE_CHARS} printable characters")
        elif dimension is Dimension.LINK and not _is_link(value):
            self._bad(field, "must be the id of a link, or 0 for the page")
        elif operator == "~=" and dimension not in SEARCHABLE:
            names = ", ".join(one.name.lower() for one in sorted(SEARCHABLE))
            self._bad(field, f"takes = and !=; ~= (contains) is for {names}")
        elif operator == "~=" and not value:
            self._bad(field, "must not be empty")
        else:
            self._filters.append(Filter(dimension, operator, value))  # type: ignore[arg-type]

    def _interval(self) -> TimeInterval:
        for interval in INTERVALS:
            if self._given.get("interval", "day") == interval:
                return interval  # type: ignore[return-value]  # one of the literals
        self._bad("interval", f"must be one of {', '.join(INTERVALS)}")
        return "day"

    def _zone(self) -> ZoneInfo:
        try:
            return period.zone(self._given.get("tz", "UTC"))
        except ValueError as error:
            self._bad("tz", str(error))
            return period.zone("UTC")

    def _moment(self, name: str, tz: ZoneInfo) -> datetime | None:
        if name not in self._given:
            return None
        try:
            return period.parse_moment(self._given[name], tz)
        except ValueError as error:
            self._bad(name, str(error))
            return None

    def _groups(self) -> tuple[bool, tuple[Dimension, ...]]:
        names = self._given.get("group", TIME).split(",")
        if len(names) > MAX_GROUPS:
            self._bad("group", f"takes at most {MAX_GROUPS}, with a comma between")
        elif len(set(names)) < len(names):
            self._bad("group", "has one twice")
        elif unknown := [name for name in names if name != TIME and name not in BY_NAME]:
            known = ", ".join((TIME, *BY_NAME))
            self._bad("group", f"has no {printable_name(unknown[0])!r}; there are {known}")
        else:
            return TIME in names, tuple(BY_NAME[name] for name in names if name != TIME)
        return True, ()

    def _metrics(self, fine: bool) -> tuple[StatsMetric, ...]:
        text = self._given.get("metrics")
        if text is None:
            names = [name for name in STATS_METRICS if not fine or name != "visitors"]
            return tuple(names)  # type: ignore[arg-type]  # all are literals
        names = [_ALIASES.get(name, name) for name in text.split(",")]
        if unknown := [name for name in names if name not in STATS_METRICS]:
            known = ", ".join(STATS_METRICS)
            self._bad("metrics", f"has no {printable_name(unknown[0])!r}; there are {known}")
            return ("clicks",)
        return tuple(dict.fromkeys(names))  # type: ignore[arg-type]  # all are literals

    def _order(self, metrics: tuple[StatsMetric, ...]) -> tuple[str, bool]:
        text = self._given.get("order", "-clicks")
        name = text.removeprefix("-")
        name = _ALIASES.get(name, name)
        if name not in (*STATS_METRICS, "value"):
            self._bad(
                "order", f"must be one of {', '.join(STATS_METRICS)}, value, or one of them with -"
            )
        elif name == "visitors" and name not in metrics:
            self._bad("order", "takes visitors only where metrics have them")
        return name, text.startswith("-")

    def _compare(self) -> bool:
        text = self._given.get("compare")
        if text not in (None, "previous"):
            self._bad("compare", "must be previous")
        return text is not None

    def _limit(self, default: int) -> int:
        text = self._given.get("limit")
        if text is None:
            return default
        limit = int(text) if _LIMIT.fullmatch(text) else 0
        if not 1 <= limit <= MAX_LIMIT:
            self._bad("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
            return 1
        return limit

    def _bad(self, field: str, reason: str) -> None:
        self._errors.append(FieldError(field, reason))


def previous_period(query: StatsQuery) -> StatsQuery:
    """The same of the period before, of the same length by the local calendar: a month before a month, as
    many days before days; where either end is no local midnight, as many hours."""
    tz = period.zone(query.tz)
    # Days begin at one o'clock where clocks change at midnight.
    first, last = (
        datetime.combine(one.astimezone(tz).date(), time()) for one in (query.start, query.end)
    )
    ends = [calendar.midnight(day, tz).astimezone(UTC) for day in (first, last)]
    if ends != [query.start, query.end]:
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


def _rows(start: datetime, end: datetime, interval: TimeInterval) -> int:
    """About how many intervals there are."""
    hours = {"15m": 0.25, "hour": 1, "day": 24, "week": 168, "month": 720}[interval]
    return int((end - start) / timedelta(hours=hours)) + 1


def _is_link(text: str) -> bool:
    return _LINK.fullmatch(text) is not None and int(text) <= _MAX_ID


def printable_name(name: str) -> str:
    """A name that somebody else chose, fit to be repeated in an answer and a log."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:64]
