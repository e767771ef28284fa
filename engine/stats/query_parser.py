"""Parser of stats queries (engine/stats/query.py has the table of parameters).

An error names every bad parameter.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.clicks.dimension import BY_NAME, SPECS, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period
from engine.stats.query import (
    DEFAULT_LIMIT,
    MAX_ROWS,
    STATS_METRICS,
    Filter,
    Operator,
    StatsMetric,
    StatsQuery,
)
from engine.stats.result import INTERVALS, TimeInterval

TIME: Final = "time"
MAX_GROUPS: Final = 2
MAX_FILTERS: Final = 8
MAX_VALUE_CHARS: Final = 255
DEFAULT_SERIES: Final = 10  # groups of a series
MAX_LIMIT: Final = 1_000
# Visitors of an hour take a union of its quarters' sketches, which are large.
VISITORS_BY_HOUR_DAYS: Final = 31
# Dimensions whose values members search; all others have few, known values.
SEARCHABLE: Final = frozenset(dimension for dimension, spec in SPECS.items() if spec.searchable)
_ALIASES: Final = {"page_views": "views"}
_FILTER: Final = re.compile(r"filter\[([a-z_]{1,32})\](!|~|\[not\]|\[contains\])?")
_LIMIT: Final = re.compile(r"[0-9]{1,6}")
_LINK: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_ID: Final = 2**63 - 1
_PLAIN: Final = (
    "from", "to", "interval", "tz", "group", "metrics", "link", "compare", "order", "limit",
)  # fmt: skip
# By the end of a parameter's name: in `filter[country]!=DE` the name ends in `!`. Programs that make clients of
# OpenAPI drop punctuation from names, so each operator has a word, too.
_OPERATORS: Final[dict[str | None, Operator]] = {
    None: "=", "!": "!=", "[not]": "!=", "~": "~=", "[contains]": "~=",
}  # fmt: skip
_HOURS: Final = {"15m": 0.25, "hour": 1, "day": 24, "week": 168, "month": 720}


def parse_query(pairs: Sequence[tuple[str, str]], now: datetime) -> StatsQuery:
    """Return the query of a request's parameters. Raises InvalidError with every bad parameter."""
    return _Parser(pairs, now).query()


class _Parser:
    """A parser of one request, which collects errors."""

    def __init__(self, pairs: Sequence[tuple[str, str]], now: datetime) -> None:
        self._now = now
        self._errors: list[FieldError] = []
        self._values: dict[str, str] = {}
        self._filters: list[Filter] = []
        seen: set[str] = set()
        for name, value in pairs:
            match = _FILTER.fullmatch(name)
            if match is None and name not in _PLAIN:
                hint = f"there are {', '.join(_PLAIN)}, filter[dimension]"
                self._bad(printable_name(name), f"is not a parameter here; {hint}")
            elif name in seen and (match is None or not match[2]):
                self._bad(name, "must not be given more than once")
            elif match is not None:
                self._add_filter(name, match[1], _OPERATORS[match[2]], value)
            else:
                self._values[name] = value
            seen.add(name)

    def query(self) -> StatsQuery:
        interval = self._interval()
        tz = self._zone()
        start, end = (self._moment(name, tz) for name in ("from", "to"))
        by_time, groups = self._groups()
        metrics = self._metrics(by_time and interval in ("15m", "hour"))
        order, descending = self._order(metrics)
        previous = self._compare()
        limit = self._limit(DEFAULT_SERIES if by_time and groups else DEFAULT_LIMIT)
        self._add_link_filter()
        known_period = not any(e.field in ("from", "to", "tz", "interval") for e in self._errors)
        first = last = self._now
        if known_period:
            first, last = period.parse_period(start, end, interval, tz, self._now)
        query = StatsQuery(
            start=first, end=last, interval=interval, tz=tz.key, by_time=by_time, groups=groups,
            metrics=metrics, filters=tuple(self._filters), order=order, descending=descending,
            limit=limit, previous=previous,
        )  # fmt: skip
        if known_period:
            self._check_cost(query)
        if self._errors:
            raise InvalidError(self._errors)
        return query

    def _check_cost(self, query: StatsQuery) -> None:
        """Record an error if the answer would have too many rows or the query would be too expensive."""
        length = query.end - query.start
        series = query.limit if query.groups else 1
        intervals = int(length / timedelta(hours=_HOURS[query.interval])) + 1
        if query.start >= query.end:
            self._bad("from", "must be before `to`")
        elif query.by_time and period.period_error(query.start, query.end, query.interval):
            days = period.LONGEST_DAYS[query.interval]
            self._bad(
                "interval",
                f"must be longer: {query.interval} allows a period of at most {days} days",
            )
        elif query.by_time and series > 1 and intervals * series > MAX_ROWS:
            self._bad(
                "limit",
                f"must be lower: limit x intervals would exceed {MAX_ROWS} rows; "
                "ask for fewer groups, a shorter period or a longer interval",
            )
        elif (
            query.fine and query.visitors
            and length > timedelta(days=VISITORS_BY_HOUR_DAYS, hours=2)
        ):  # fmt: skip
            days = VISITORS_BY_HOUR_DAYS
            self._bad(
                "metrics",
                f"must not have visitors by {query.interval} in a period of more than {days} days",
            )

    def _add_link_filter(self) -> None:
        if "link" in self._values:
            if any(f.dimension is Dimension.LINK and f.operator == "=" for f in self._filters):
                self._bad("link", "must not be given together with filter[link]")
            self._add_filter("link", "link", "=", self._values["link"])
        if len(self._filters) > MAX_FILTERS:
            self._bad("filter", f"must not be given more than {MAX_FILTERS} times")

    def _add_filter(self, field: str, name: str, operator: Operator, value: str) -> None:
        dimension = BY_NAME.get(name)
        if dimension is None:
            self._bad(field, f"must be of a dimension: {', '.join(BY_NAME)}")
        elif len(value) > MAX_VALUE_CHARS or not value.isprintable():
            self._bad(field, f"must be at most {MAX_VALUE_CHARS} printable characters")
        elif dimension is Dimension.LINK and not _is_link_id(value):
            self._bad(field, "must be the id of a link, or 0 for the page")
        elif operator == "~=" and dimension not in SEARCHABLE:
            names = ", ".join(searchable.name.lower() for searchable in sorted(SEARCHABLE))
            self._bad(field, f"must have = or !=; ~= (contains) is for {names} only")
        elif operator == "~=" and not value:
            self._bad(field, "must not be empty")
        else:
            self._filters.append(Filter(dimension, operator, value))

    def _interval(self) -> TimeInterval:
        for interval in INTERVALS:
            if self._values.get("interval", "day") == interval:
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

    def _groups(self) -> tuple[bool, tuple[Dimension, ...]]:
        names = self._values.get("group", TIME).split(",")
        if len(names) > MAX_GROUPS:
            self._bad("group", f"must have at most {MAX_GROUPS} names, with a comma between")
        elif len(set(names)) < len(names):
            self._bad("group", "must not have a name twice")
        elif unknown := [name for name in names if name != TIME and name not in BY_NAME]:
            known = ", ".join((TIME, *BY_NAME))
            self._bad(
                "group", f"must not have {printable_name(unknown[0])!r}; the names are {known}"
            )
        else:
            return TIME in names, tuple(BY_NAME[name] for name in names if name != TIME)
        return True, ()

    def _metrics(self, fine: bool) -> tuple[StatsMetric, ...]:
        text = self._values.get("metrics")
        if text is None:
            names = [name for name in STATS_METRICS if not fine or name != "visitors"]
            return tuple(names)  # type: ignore[arg-type]  # all are literals
        names = [_ALIASES.get(name, name) for name in text.split(",")]
        if unknown := [name for name in names if name not in STATS_METRICS]:
            known = ", ".join(STATS_METRICS)
            self._bad(
                "metrics", f"must not have {printable_name(unknown[0])!r}; the names are {known}"
            )
            return ("clicks",)
        return tuple(dict.fromkeys(names))  # type: ignore[arg-type]  # all are literals

    def _order(self, metrics: tuple[StatsMetric, ...]) -> tuple[str, bool]:
        text = self._values.get("order", "-clicks")
        name = text.removeprefix("-")
        name = _ALIASES.get(name, name)
        if name not in (*STATS_METRICS, "value"):
            self._bad(
                "order", f"must be {', '.join(STATS_METRICS)} or value, with or without - in front"
            )
        elif name == "visitors" and name not in metrics:
            self._bad("order", "must not be visitors unless metrics has them")
        return name, text.startswith("-")

    def _compare(self) -> bool:
        text = self._values.get("compare")
        if text not in (None, "previous"):
            self._bad("compare", "must be previous")
        return text is not None

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


def _is_link_id(text: str) -> bool:
    return _LINK.fullmatch(text) is not None and int(text) <= _MAX_ID


def printable_name(name: str) -> str:
    """Return a caller's name in printable characters, 64 at most, for responses and logs."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:64]
