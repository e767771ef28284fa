"""Starts of intervals by a time zone's clock and calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.stats.result import TimeInterval

_QUARTER = timedelta(minutes=15)


def interval_start(moment: datetime, interval: TimeInterval, tz: ZoneInfo) -> datetime:
    """Return the start of the interval that `moment` (aware) is in, aware, in the zone."""
    local = moment.astimezone(tz)
    if interval == "15m":
        utc = moment.astimezone(UTC)
        return utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0).astimezone(tz)
    if interval == "hour":
        gone = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return hour_start(moment.astimezone(UTC) - gone, tz)
    return midnight(_first_day(local.replace(tzinfo=None), interval), tz)


def _first_day(wall: datetime, interval: TimeInterval) -> datetime:
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


def midnight(wall: datetime, tz: ZoneInfo) -> datetime:
    """Return when a day begins: at its first midnight if it has two, after the gap if it has none."""
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC).astimezone(tz)


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
