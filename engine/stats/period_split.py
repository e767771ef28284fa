"""Splitting of a period into pieces that tables of stored counts have.

A row of an answer is an interval of a zone's clock, which seldom begins with a UTC day. Whole UTC days inside
it are read as days, whole months as one; the rest at either end is a part of a day, whose counts the prefix
sums of `dimension_quarters` give with two look-ups. A series by local day consists of parts only.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.stats import calendar, period
from engine.stats.result import TimeInterval

QUARTERS: Final = 96  # of a UTC day
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_QUARTER: Final = timedelta(minutes=15)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()


class DateRange(NamedTuple):
    """UTC days or months, half-open: [first, end). For months, both are a month's first day."""

    first: date
    end: date


class DayPart(NamedTuple):
    """Quarters [first, end) of a UTC day, which belong to row `row` (from 1)."""

    day: date
    first: int
    end: int
    row: int


class PeriodSplit(NamedTuple):
    """The period [starts[0], end) in pieces. Rows of the answer begin at `starts`, ascending; all in UTC.

    Each quarter of the period is in one of the pieces, exactly once, and no whole day or month has two rows.
    """

    starts: tuple[datetime, ...]
    end: datetime
    months: tuple[DateRange, ...] = ()
    days: tuple[DateRange, ...] = ()
    parts: tuple[DayPart, ...] = ()

    @property
    def inner_parts(self) -> tuple[DayPart, ...]:
        """Parts that touch neither end of their day: no stored prefix knows their visitors."""
        return tuple(part for part in self.parts if part.first > 0 and part.end < QUARTERS)


def interval_starts(
    start: datetime, end: datetime, interval: TimeInterval, tz: ZoneInfo, week_start: int = 0
) -> tuple[datetime, ...]:
    """Return the starts of the intervals of [start, end), in UTC; the first is cut at `start`."""
    if interval == "15m":
        return tuple(start + n * _QUARTER for n in range(max(1, -((start - end) // _QUARTER))))
    if interval == "hour":
        return tuple(_hour_starts(start, end, tz))
    starts = [start]
    day = calendar.interval_start(start, interval, tz, week_start).date()
    while True:
        day = calendar.next_day(day, interval)
        midnight = calendar.day_start(day, tz).astimezone(UTC)
        if midnight >= end:
            break
        # A day that a zone skipped begins when the next one does.
        if midnight > starts[-1]:
            starts.append(midnight)
    return tuple(starts)


def _hour_starts(start: datetime, end: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    yield start
    following = _next_hour(start, tz)
    while following < end:
        yield following
        local, later = following.astimezone(tz), (following + _HOUR).astimezone(tz)
        # Without a change of clocks in between, an hour takes an hour.
        plain = local.minute == 0 and local.utcoffset() == later.utcoffset()
        following = following + _HOUR if plain else _next_hour(following, tz)


def _next_hour(moment: datetime, tz: ZoneInfo) -> datetime:
    """Return the start of the next hour. Some hours are shorter: clocks change by half an hour, too."""
    following = period.interval_start_utc(moment + _HOUR, "hour", tz)
    return following if following > moment else moment + _QUARTER


def split_period(starts: Sequence[datetime], end: datetime) -> PeriodSplit:
    """Split [starts[0], end) for rows that begin at `starts`: UTC, whole quarters, ascending."""
    months: list[DateRange] = []
    days: list[DateRange] = []
    parts: list[DayPart] = []
    # In quarters of an hour since 1970: arithmetic on integers is ten times as fast as on datetimes.
    edges = [(moment - _EPOCH) // _QUARTER for moment in (*starts, end)]
    for row, (first, last) in enumerate(itertools.pairwise(edges), 1):
        first_day, first_quarter = divmod(first, QUARTERS)
        last_day, last_quarter = divmod(last, QUARTERS)
        if first_quarter and first_day == last_day:
            parts.append(DayPart(_date(first_day), first_quarter, last_quarter, row))
            continue
        if first_quarter:
            parts.append(DayPart(_date(first_day), first_quarter, QUARTERS, row))
            first_day += 1
        if first_day < last_day:
            _split_days(_date(first_day), _date(last_day), months, days)
        if last_quarter:
            parts.append(DayPart(_date(last_day), 0, last_quarter, row))
    return PeriodSplit(
        tuple(starts), end, tuple(_joined(months)), tuple(_joined(days)), tuple(parts)
    )


def _date(day: int) -> date:
    """Return the date that is `day` days after 1970-01-01."""
    return date.fromordinal(_EPOCH_DAY + day)


def _split_days(first: date, end: date, months: list[DateRange], days: list[DateRange]) -> None:
    """Add a row's whole days to `days`, and whole months to `months`."""
    month_first = first if first.day == 1 else (first.replace(day=1) + 32 * _DAY).replace(day=1)
    month_end = end.replace(day=1)
    if month_first < month_end:
        months.append(DateRange(month_first, month_end))
        days += [DateRange(first, month_first), DateRange(month_end, end)]
    else:
        days.append(DateRange(first, end))


def _joined(ranges: Iterable[DateRange]) -> Iterator[DateRange]:
    """Yield the ranges, joining adjacent ones and leaving out empty ones."""
    joined: DateRange | None = None
    for following in ranges:
        if following.first == following.end:
            continue
        if joined is not None and joined.end == following.first:
            joined = DateRange(joined.first, following.end)
            continue
        if joined is not None:
            yield joined
        joined = following
    if joined is not None:
        yield joined
