"""Periods of stats queries in a time zone, as callers write them.

A moment is written as an instant (`2026-03-01T10:00:00Z`, or with an offset) or as a local date or
time (`2026-03-01`, `2026-03-01T10:00`), read in the query's zone; a bare date is its local
midnight. A local time that a clock change skips is as long after the change as it would be without it
(02:30 is 03:30); a local time that happens twice is the first.

Counts are kept in 15-minute buckets, so a period is widened to whole quarters.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

from engine.stats import calendar
from engine.stats.result import TimeInterval

QUARTER: Final = timedelta(minutes=15)
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
DEFAULT_DAYS: Final = 30

# The longest period of each interval: none makes more than 9,000 rows. A day of slack lets a local
# month or year with a clock change in it pass.
LONGEST_DAYS: Final[dict[TimeInterval, int]] = {
    "15m": 31,
    "hour": 366,
    "day": 3_660,
    "week": 36_600,
    "month": 36_600,
    "quarter": 36_600,
    "year": 36_600,
}

_MOMENT: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(?:(?P<utc>[Zz])|(?P<offset>[+\- ][0-9]{2}:[0-9]{2}))?)?"
)


@lru_cache(1)
def zone_names() -> frozenset[str]:
    """Return the names of IANA zones. `Factory` is the one that means no zone.

    The list is the package's, not the machine's: /usr/share/zoneinfo has `localtime` and others that are no
    zones, and every console must take the same names.
    """
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of this name. Raises ValueError."""
    if name not in zone_names():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Rome")
    return ZoneInfo(name)


def parse_moment(text: str, tz: tzinfo) -> datetime:
    """Return the instant, in UTC, that `text` means in zone `tz`. Raises ValueError.

    A URL turns the `+` of an offset into a blank, which is read as the `+` that it was.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("must be a date or time such as 2026-03-01 or 2026-03-01T10:00:00Z")
    try:
        day = date.fromisoformat(match["date"])
        clock = time.fromisoformat(_padded(match["time"] or "00:00"))
        if match["utc"]:
            tz = UTC
        elif match["offset"]:
            tz = time.fromisoformat("00:00" + match["offset"].replace(" ", "+")).tzinfo or UTC
        if not FIRST.year <= day.year < LAST.year:
            raise ValueError
        return datetime.combine(day, clock, tz).astimezone(UTC)
    except ValueError:
        raise ValueError(
            f"must be a moment of the calendar from {FIRST.year} to {LAST.year - 1}"
        ) from None


def _padded(clock: str) -> str:
    """Pad a second to six digits after the point, as `time.fromisoformat` of Python 3.11 requires."""
    whole, dot, fraction = clock.partition(".")
    return f"{whole}.{fraction:0<6}" if dot else whole


def floor_quarter(instant: datetime) -> datetime:
    return instant - (instant - FIRST) % QUARTER


def ceil_quarter(instant: datetime) -> datetime:
    return floor_quarter(instant + QUARTER - timedelta(microseconds=1))


def interval_start_utc(
    instant: datetime, interval: TimeInterval, tz: ZoneInfo, week_start: int = 0
) -> datetime:
    """Return the start, in UTC, of the interval of zone `tz` that `instant` is in."""
    return calendar.interval_start(instant, interval, tz, week_start).astimezone(UTC)


def interval_end(
    instant: datetime, interval: TimeInterval, tz: ZoneInfo, week_start: int = 0
) -> datetime:
    """Return the end, in UTC, of the interval that `instant` is in."""
    start = calendar.interval_start(instant, interval, tz, week_start)
    if interval == "15m":
        return start.astimezone(UTC) + QUARTER
    if interval == "hour":
        return start.astimezone(UTC) + timedelta(hours=1)
    return calendar.day_start(calendar.next_day(start.date(), interval), tz).astimezone(UTC)


def parse_period(
    start: datetime | None,
    stop: datetime | None,
    interval: TimeInterval,
    tz: ZoneInfo,
    now: datetime,
    week_start: int = 0,
) -> tuple[datetime, datetime]:
    """Return the half-open period [start, stop) in whole quarters, in UTC.

    Without `stop`, it is the end of the interval that `now` is in, so that the latest counts are
    inside. Without `start`, it is the start of the interval that lies 30 local days before the end.
    """
    stop = interval_end(now, interval, tz, week_start) if stop is None else ceil_quarter(stop)
    if start is not None:
        return floor_quarter(start), stop
    local = stop.astimezone(tz)
    earlier = datetime.combine(local.date() - timedelta(days=DEFAULT_DAYS), local.time(), tz)
    return interval_start_utc(earlier.astimezone(UTC), interval, tz, week_start), stop


def period_error(start: datetime, stop: datetime, interval: TimeInterval) -> bool:
    """Return whether the period is too long for the interval."""
    return stop - start > timedelta(days=LONGEST_DAYS[interval], hours=2)
