"""Periods by name: `7d`, `28d` and the like end with today, `month` and the like are the present ones."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, get_args
from zoneinfo import ZoneInfo

from engine.stats import calendar, period
from engine.stats.result import TimeInterval

ALL: Final = "all"
MAX_DAYS: Final = 3_660
_NAMES: Final[tuple[TimeInterval, ...]] = ("day", "week", "month", "quarter", "year")
_DAYS: Final = re.compile(r"([1-9][0-9]{0,3})d")
_HINT: Final = (
    f"must be a number of days from 1d to {MAX_DAYS}d (7d: today and the six days before), "
    f"{', '.join(_NAMES)} (the present one) or {ALL}"
)
assert set(_NAMES) < set(get_args(TimeInterval))


def named_period(
    name: str, tz: ZoneInfo, now: datetime, *, week_start: int, first_day: date | None
) -> tuple[datetime, datetime]:
    """Return the half-open period [start, end) of this name, in UTC, in whole quarters.

    It ends with the local day, week, month, quarter or year that `now` is in. `first_day` is the profile's
    first UTC day with counts, with which `all` begins; None: there is none. Raises ValueError for what is no
    name.
    """
    end = period.interval_end(now, "day", tz)
    today = now.astimezone(tz).date()
    if name == ALL:
        first = datetime.combine(first_day or now.date(), datetime.min.time(), UTC)
        return period.interval_start_utc(min(first, now), "day", tz), end
    for interval in _NAMES:
        if name == interval:
            start = period.interval_start_utc(now, interval, tz, week_start)
            return _quarters(start), _quarters(period.interval_end(now, interval, tz, week_start))
    match = _DAYS.fullmatch(name)
    if match is None or int(match[1]) > MAX_DAYS:
        raise ValueError(_HINT)
    first_of_days = calendar.day_start(today - timedelta(days=int(match[1]) - 1), tz)
    return _quarters(first_of_days.astimezone(UTC)), _quarters(end)


def _quarters(instant: datetime) -> datetime:
    """Return the instant, in whole quarters: local midnights of a few old zones are not."""
    return period.floor_quarter(instant)
