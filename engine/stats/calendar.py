"""Starts of intervals by a time zone's clock and calendar."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.stats.result import TimeInterval

MONTHS: Final[dict[TimeInterval, int]] = {"month": 1, "quarter": 3, "year": 12}
_QUARTER = timedelta(minutes=15)


def interval_start(
    moment: datetime, interval: TimeInterval, tz: ZoneInfo, week_start: int = 0
) -> datetime:
    """Return the start of the interval that `moment` (aware) is in, aware, in the zone.

    `week_start` is the weekday with which weeks begin; 0: Monday.
    """
    local = moment.astimezone(tz)
    if interval == "15m":
        utc = moment.astimezone(UTC)
        return utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0).astimezone(tz)
    if interval == "hour":
        gone = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return hour_start(moment.astimezone(UTC) - gone, tz)
    return day_start(first_day(local.date(), interval, week_start), tz)


def first_day(day: date, interval: TimeInterval, week_start: int = 0) -> date:
    """Return the first day of the day, week, month, quarter or year that `day` is in."""
    if interval == "week":
        return day - timedelta(days=(day.weekday() - week_start) % 7)
    if interval in MONTHS:
        months = MONTHS[interval]
        return day.replace(month=(day.month - 1) // months * months + 1, day=1)
    return day


def next_day(day: date, interval: TimeInterval) -> date:
    """Return the first day of the day, week, month, quarter or year after the one that begins with `day`."""
    if interval in MONTHS:
        return months_later(day, MONTHS[interval])
    return day + timedelta(days=7 if interval == "week" else 1)


def months_later(day: date, months: int) -> date:
    """Return the day so many months later (earlier if negative): the last of its month if there is none."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))


def day_start(day: date, tz: ZoneInfo) -> datetime:
    """Return when a day begins: at its first midnight if it has two, after the gap if it has none."""
    return datetime.combine(day, time(), tz).astimezone(UTC).astimezone(tz)


def hour_start(moment: datetime, tz: ZoneInfo) -> datetime:
    """Return the first moment of an hour of the zone's clock that would have started at `moment`.

    The two differ where clocks change within an hour, as on Lord Howe Island by 30 minutes: the part
    after the change is an hour of its own and starts with the change.
    """
    moment = moment.astimezone(UTC)
    local = moment.astimezone(tz)
    for quarters in range(5):
        later = (moment + quarters * _QUARTER).astimezone(tz)
        if later.minute == 0:
            break
        if later.utcoffset() != local.utcoffset():
            return later
    return local
