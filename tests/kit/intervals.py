"""Intervals in plain words: the names that a wall clock and a calendar give to moments."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.stats.result import TimeInterval

QUARTER = timedelta(minutes=15)
# Changes of clocks: by an hour, by half an hour, at midnight; and a zone with an odd offset.
CHANGES = [
    ("Europe/Rome", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Rome", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 1, 31, 18, 15, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
]


def label(moment: datetime, interval: TimeInterval, tz: ZoneInfo) -> tuple[object, ...]:
    """Return the clock's or calendar's name of a moment's interval; an hour that comes twice has two."""
    wall = moment.astimezone(tz)
    if interval == "15m":
        return (moment,)
    if interval == "hour":
        return (wall.date(), wall.hour, wall.utcoffset())
    if interval == "day":
        return (wall.date(),)
    if interval == "week":
        return wall.isocalendar()[:2]
    months = {"month": 1, "quarter": 3, "year": 12}[interval]
    return wall.year, (wall.month - 1) // months


def first_moment(moment: datetime, interval: TimeInterval, tz: ZoneInfo) -> datetime:
    """Return the earliest quarter of an hour with the moment's label, by walking back."""
    if interval not in ("15m", "hour"):
        while label(moment - timedelta(days=1), interval, tz) == label(moment, interval, tz):
            moment -= timedelta(days=1)
    while label(moment - QUARTER, interval, tz) == label(moment, interval, tz):
        moment -= QUARTER
    return moment
