"""Parser of stats queries (engine/stats/query.py has the table of parameters).

An error names every bad parameter.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from engine.clicks.dimension import BY_NAME, EVENT_DIMENSIONS, SPECS, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period
from engine.stats.parameters import group_cursor
from engine.stats.parameters.comparison import Comparison, compared, parse_comparison
from engine.stats.parameters.filter_values import (
    MAX_VALUE_CHARS,
    MAX_VALUES,
    filter_value,
    split_values,
)
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.parameters.named_period import ALL, named_period
from engine.stats.query import (
    CLICK_METRICS,
    DEFAULT_LIMIT,
    EVENT_METRICS,
    MAX_ROWS,
    ORDERS,
    STATS_METRICS,
    Filter,
    Operator,
    StatsMetric,
    StatsQuery,
)
from engine.stats.result import INTERVALS, TimeInterval

TIME: Final = "time"
HOUR_OF_WEEK: Final = "hour_of_week"
HOUR_OF_WEEK_DAYS: Final = 366  # as long as a series by hour may be
WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
FILLS: Final = ("zero", "none")
MAX_GROUPS: Final = 2
MAX_FILTERS: Final = 8
DEFAULT_SERIES: Final = 10  # groups of a series
MAX_LIMIT: Final = 1_000
# Visitors of an hour take a union of its quarters' sketches, which are large.
VISITORS_BY_HOUR_DAYS: Final = 31
# Dimensions whose values members search; all others have few, known values.
SEARCHABLE: Final = frozenset(dimension for dimension, spec in SPECS.items() if spec.searchable)
_ALIASES: Final = {"page_views": "views"}
_FILTER: Final = re.compile(r"filter\[([a-z_]{1,32})\](!|~|\[not\]|\[contains\])?")
_LIMIT: Final = re.compile(r"[0-9]{1,6}")
_PLAIN: Final = (
    "from", "to", "period", "interval", "week_start", "tz", "group", "metrics", "link", "compare", "fill",
    "order", "limit", "cursor",
)  # fmt: skip
# By the end of a parameter's name: in `filter[country]!=DE` the name ends in `!`. Programs that make clients of
# OpenAPI drop punctuation from names, so each operator has a word, too.
_OPERATORS: Final[dict[str | None, Operator]] = {
    None: "=", "!": "!=", "[not]": "!=", "~": "~=", "[contains]": "~=",
}  # fmt: skip
_HOURS: Final = {
    "15m": 0.25, "hour": 1, "day": 24, "week": 168, "month": 672, "quarter": 2_160, "year": 8_760,
}  # fmt: skip


def parse_query(
    pairs: Sequence[tuple[str, str]], now: datetime, first_day: date | None = None
) -> StatsQuery:
    """Return the query of a request's parameters. `first_day` is the profile's first UTC day with counts, for
    `period=all`; None: there is none. Raises InvalidError with every bad parameter."""
    return _Parser(pairs, now, first_day).query()


def needs_first_day(pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether the query's period depends on the profile's first day with counts."""
    return ("period", ALL) in pairs


def asks_for_events(pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether parameters name own events, by a metric, a group or a filter."""
    names = {dimension.name.lower() for dimension in EVENT_DIMENSIONS}
    filters = {f"filter[{name}]" for name in names}
    return any(
        (name == "metrics" and "events" in value.split(","))
        or (name == "group" and not names.isdisjoint(value.split(",")))
        or name.startswith(tuple(filters))
        for name, value in pairs
    )


class _Parser:
    """A parser of one request, which collects errors."""

    def __init__(
        self, pairs: Sequence[tuple[str, str]], now: datetime, first_day: date | None
    ) -> None:
        self._now = now
        self._first_day = first_day
        self._errors: list[FieldError] = []
        self._values: dict[str, str] = {}
        self._filters: list[Filter] = []
        filters = 0
        for name, value in pairs:
            match = _FILTER.fullmatch(name)
            if match is not None:
                filters += 1
                if filters <= MAX_FILTERS:
                    self._add_filter(name, match[1], _OPERATORS[match[2]], value)
            elif name not in _PLAIN:
                hint = f"there are {', '.join(_PLAIN)}, filter[dimension]"
                self._bad(printable_name(name), f"is not a parameter here; {hint}")
            elif name in self._values:
                self._bad(name, "must not be given more than once")
            else:
                self._values[name] = value
        if filters + ("link" in self._values) > MAX_FILTERS:
            self._bad("filter", f"must not be given more than {MAX_FILTERS} times")

    def query(self) -> StatsQuery:
        default = "month" if self._values.get("period") == ALL else "day"
        interval = self._interval(default)
        tz = self._zone()
        week_start = self._week_start()
        by_time, by_hour_of_week, groups = self._groups()
        of_events = self._of_events(groups)
        fine = (by_time and interval in ("15m", "hour")) or by_hour_of_week
        metrics = self._metrics(fine, of_events)
        order, descending = self._order(metrics, of_events)
        self._add_link_filter()
        first, last = self._period(interval, tz, week_start)
        query = StatsQuery(
            start=first, end=last, interval=interval, tz=tz.key, week_start=week_start, by_time=by_time,
            by_hour_of_week=by_hour_of_week, fill=self._fill(by_time or by_hour_of_week), groups=groups,
            metrics=metrics, filters=tuple(self._filters), order=order, descending=descending,
            limit=self._limit(DEFAULT_SERIES if by_time and groups else DEFAULT_LIMIT),
            after=self._cursor(groups, order, descending),
            comparison=self._comparison(first, last, tz), of_events=of_events,
        )  # fmt: skip
        if first < last:
            self._check_cost(query)
        if self._errors:
            raise InvalidError(self._errors)
        return query

    def _period(
        self, interval: TimeInterval, tz: ZoneInfo, week_start: int
    ) -> tuple[datetime, datetime]:
        """Return the period [first, last); an empty one if it is wrong."""
        start, end = (self._moment(name, tz) for name in ("from", "to"))
        name = self._values.get("period")
        if name is not None and ("from" in self._values or "to" in self._values):
            self._bad("period", "must not be given together with from and to")
        if any(
            error.field in ("from", "to", "period", "tz", "interval", "week_start")
            for error in self._errors
        ):
            return self._now, self._now
        if name is not None:
            try:
                return named_period(
                    name, tz, self._now, week_start=week_start, first_day=self._first_day
                )
            except ValueError as error:
                self._bad("period", str(error))
                return self._now, self._now
        first, last = period.parse_period(start, end, interval, tz, self._now, week_start)
        if first >= last:
            self._bad("from", "must be before `to`")
        return first, last

    def _check_cost(self, query: StatsQuery) -> None:
        """Record an error if the answer would have too many rows or the query would be too expensive."""
        self._check_length(query, query.start, query.end, "interval")
        if query.comparison is not None:
            self._check_length(query, query.comparison.start, query.comparison.end, "compare")
        series = query.limit if query.groups else 1
        length = query.end - query.start
        if query.comparison is not None:
            length = max(length, query.comparison.end - query.comparison.start)
        intervals = int(length / timedelta(hours=_HOURS[query.interval])) + 1
        if query.by_time and series > 1 and intervals * series > MAX_ROWS:
            self._bad(
                "limit",
                f"must be lower: limit x intervals would exceed {MAX_ROWS} rows; "
                "ask for fewer groups, a shorter period or a longer interval",
            )

    def _check_length(self, query: StatsQuery, start: datetime, end: datetime, field: str) -> None:
        """Record an error if the period is too long for the query's rows."""
        length = end - start
        if query.by_hour_of_week and query.conversions:
            self._bad("group", f"must not be {HOUR_OF_WEEK} for metrics of conversions")
        elif query.by_hour_of_week and length > timedelta(days=HOUR_OF_WEEK_DAYS, hours=2):
            self._bad(
                "group",
                f"must not be {HOUR_OF_WEEK} in a period of more than {HOUR_OF_WEEK_DAYS} days",
            )
        elif query.by_time and period.period_error(start, end, query.interval):
            days = period.LONGEST_DAYS[query.interval]
            reason = f"{query.interval} allows a period of at most {days} days"
            self._bad(
                field,
                f"must be longer: {reason}"
                if field == "interval"
                else f"must be a shorter period: {reason}",
            )
        elif (
            (query.fine or query.by_hour_of_week) and query.visitors
            and length > timedelta(days=VISITORS_BY_HOUR_DAYS, hours=2)
        ):  # fmt: skip
            name = HOUR_OF_WEEK if query.by_hour_of_week else query.interval
            self._bad(
                "metrics",
                f"must not have visitors by {name} in a period of more than {VISITORS_BY_HOUR_DAYS} days",
            )

    def _add_link_filter(self) -> None:
        if "link" in self._values:
            if any(f.dimension is Dimension.LINK and f.operator == "=" for f in self._filters):
                self._bad("link", "must not be given together with filter[link]")
            self._add_filter("link", "link", "=", self._values["link"])

    def _add_filter(self, field: str, name: str, operator: Operator, text: str) -> None:
        dimension = BY_NAME.get(name)
        if dimension is None:
            self._bad(field, f"must be of a dimension: {', '.join(BY_NAME)}")
            return
        if operator == "~=" and dimension not in SEARCHABLE:
            names = ", ".join(searchable.name.lower() for searchable in sorted(SEARCHABLE))
            self._bad(field, f"must have = or !=; ~= (contains) is for {names} only")
            return
        try:
            values = _filter_values(dimension, operator, text)
        except ValueError as error:
            self._bad(field, str(error))
            return
        if operator == "=":
            values = (*self._equal_values(dimension), *values)
            if len(values) > MAX_VALUES:
                self._bad(field, f"must not have more than {MAX_VALUES} values")
                return
        self._filters.append(Filter(dimension, operator, tuple(dict.fromkeys(values))))

    def _equal_values(self, dimension: Dimension) -> tuple[str, ...]:
        """Take out the filter with `=` of a dimension, if there is one. Returns its values."""
        for filter_ in self._filters:
            if filter_.dimension is dimension and filter_.operator == "=":
                self._filters.remove(filter_)
                return filter_.values
        return ()

    def _interval(self, default: str) -> TimeInterval:
        for interval in INTERVALS:
            if self._values.get("interval", default) == interval:
                return interval  # type: ignore[return-value]  # one of the literals
        self._bad("interval", f"must be one of {', '.join(INTERVALS)}")
        return "day"

    def _zone(self) -> ZoneInfo:
        try:
            return period.zone(self._values.get("tz", "UTC"))
        except ValueError as error:
            self._bad("tz", str(error))
            return period.zone("UTC")

    def _moment(self, name: str, tz: ZoneInfo) -> datetime | None:
        if name not in self._values:
            return None
        try:
            return period.parse_moment(self._values[name], tz)
        except ValueError as error:
            self._bad(name, str(error))
            return None

    def _week_start(self) -> int:
        name = self._values.get("week_start", WEEKDAYS[0])
        if name not in WEEKDAYS:
            self._bad("week_start", f"must be one of {', '.join(WEEKDAYS)}")
            return 0
        return WEEKDAYS.index(name)

    def _groups(self) -> tuple[bool, bool, tuple[Dimension, ...]]:
        """Return (whether rows are by time, whether by hour of the week, their dimensions)."""
        names = self._values.get("group", TIME).split(",")
        if names == [HOUR_OF_WEEK]:
            return False, True, ()
        if len(names) > MAX_GROUPS:
            self._bad("group", f"must have at most {MAX_GROUPS} names, with a comma between")
        elif len(set(names)) < len(names):
            self._bad("group", "must not have a name twice")
        elif HOUR_OF_WEEK in names:
            self._bad(
                "group", f"must be {HOUR_OF_WEEK} alone; filter by what it would be crossed with"
            )
        elif unknown := [name for name in names if name != TIME and name not in BY_NAME]:
            known = ", ".join((TIME, HOUR_OF_WEEK, *BY_NAME))
            self._bad(
                "group", f"must not have {printable_name(unknown[0])!r}; the names are {known}"
            )
        else:
            return TIME in names, False, tuple(BY_NAME[name] for name in names if name != TIME)
        return True, False, ()

    def _of_events(self, groups: tuple[Dimension, ...]) -> bool:
        """Return whether the query counts own events, which have no variants."""
        dimensions = {*groups, *(filter_.dimension for filter_ in self._filters)}
        metrics = self._values.get("metrics", "").split(",")
        of_events = "events" in metrics or not EVENT_DIMENSIONS.isdisjoint(dimensions)
        if of_events and Dimension.VARIANT in dimensions:
            field = "group" if Dimension.VARIANT in groups else "filter[variant]"
            self._bad(field, "must not have variants: own events take no part in experiments")
        return of_events

    def _metrics(self, fine: bool, of_events: bool) -> tuple[StatsMetric, ...]:
        text = self._values.get("metrics")
        if text is None:
            defaults = EVENT_METRICS if of_events else CLICK_METRICS
            names = [name for name in defaults if not fine or name != "visitors"]
            return tuple(names)  # type: ignore[arg-type]  # all are literals
        names = [_ALIASES.get(name, name) for name in text.split(",")]
        if unknown := [name for name in names if name not in STATS_METRICS]:
            known = ", ".join(STATS_METRICS)
            self._bad(
                "metrics", f"must not have {printable_name(unknown[0])!r}; the names are {known}"
            )
            return ("clicks",)
        if of_events and not set(names) <= set(EVENT_METRICS):
            self._bad(
                "metrics",
                "must be events and visitors only, where own events are counted; ask for clicks and views "
                "in another question",
            )
        return tuple(dict.fromkeys(names))  # type: ignore[arg-type]  # all are literals

    def _order(self, metrics: tuple[StatsMetric, ...], of_events: bool) -> tuple[str, bool]:
        text = self._values.get("order", "-events" if of_events else "-clicks")
        name = text.removeprefix("-")
        name = _ALIASES.get(name, name)
        if name not in ORDERS:
            self._bad("order", f"must be one of {', '.join(ORDERS)}, with or without - in front")
        elif of_events and name not in (*EVENT_METRICS, "value"):
            self._bad("order", "must be events, visitors or value, where own events are counted")
        elif name == "events" and not of_events:
            self._bad("order", "must not be events unless own events are counted")
        elif name == "visitors" and name not in metrics:
            self._bad("order", "must not be visitors unless metrics has them")
        return name, text.startswith("-")

    def _fill(self, by_time: bool) -> bool:
        text = self._values.get("fill", FILLS[0])
        if text not in FILLS:
            self._bad("fill", f"must be one of {', '.join(FILLS)}")
        return by_time and text == FILLS[0]

    def _comparison(self, start: datetime, end: datetime, tz: ZoneInfo) -> Comparison | None:
        text = self._values.get("compare")
        if text is None or start >= end:
            return None
        if text in ("previous", "year"):
            kind: Literal["previous", "year"] = "year" if text == "year" else "previous"
            return compared(kind, start, end, tz, self._now)
        try:
            return parse_comparison(text, tz)
        except ValueError as error:
            self._bad("compare", str(error))
            return None

    def _cursor(
        self, groups: tuple[Dimension, ...], order: str, descending: bool
    ) -> GroupCursor | None:
        text = self._values.get("cursor")
        if text is None:
            return None
        cursor = group_cursor.decode(text)
        if cursor is None or (cursor.order, cursor.descending, len(cursor.values)) != (
            order, descending, len(groups)
        ):  # fmt: skip
            self._bad("cursor", "must be a next_cursor of an answer to this query")
        elif not groups:
            self._bad("cursor", "must not be given without groups")
        return cursor

    def _limit(self, default: int) -> int:
        text = self._values.get("limit")
        if text is None:
            return default
        limit = int(text) if _LIMIT.fullmatch(text) else 0
        if not 1 <= limit <= MAX_LIMIT:
            self._bad("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
            return 1
        return limit

    def _bad(self, field: str, reason: str) -> None:
        self._errors.append(FieldError(field, reason))


def _filter_values(dimension: Dimension, operator: Operator, text: str) -> tuple[str, ...]:
    """Return the values that a filter's text has. Raises ValueError."""
    values = split_values(text)
    if len(values) > MAX_VALUES:
        raise ValueError(f"must not have more than {MAX_VALUES} values")
    if operator != "~=":
        return tuple(filter_value(dimension, value) for value in values)
    if not all(values):
        raise ValueError("must not be empty")
    if any(len(value) > MAX_VALUE_CHARS or not value.isprintable() for value in values):
        raise ValueError(f"must be at most {MAX_VALUE_CHARS} printable characters")
    return tuple(values)


def printable_name(name: str) -> str:
    """Return a caller's name in printable characters, 64 at most, for responses and logs."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:64]
