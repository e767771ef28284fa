"""How a period is read from sums of whole UTC months and days, and from quarters of an hour at its edges.

A row of the answer is an interval of a zone's clock, which seldom begins with a UTC day. Whole days inside it
are read as such, whole months as one; what is left of a day at either end is a part, of which the prefix sums
of `dimension_quarters` know the counts with two look-ups. A series by local day is made of parts only.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.stats import calendar, period
from engine.stats.result import TimeInterval

QUARTERS: Final = 96  # of a UTC day
_MIDNIGHT: Final = time()
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


class PeriodPlan(NamedTuple):
    """`starts` are the moments at which rows begin, in UTC, ascending, the first at the period's start.

    Each quarter of the period is in one of the others, exactly once, and no whole day or month has two rows.
    """

    starts: tuple[datetime, ...]
    months: tuple[DateRange, ...]
    days: tuple[DateRange, ...]
    parts: tuple[DayPart, ...]

    @property
    def inner(self) -> tuple[DayPart, ...]:
        """Parts that touch neither end of their day: no prefix knows their visitors."""
        return tuple(part for part in self.parts if part.first > 0 and part.end < QUARTERS)


def boundaries(
    start: datetime, end: datetime, interval: TimeInterval, tz: ZoneInfo
) -> tuple[datetime, ...]:
    """Where the intervals of [start, end) begin, in UTC; the first is cut at `start`."""
    found = [start]
    if interval == "15m":
        found += [start + n * _QUARTER for n in range(1, -((start - end) // _QUARTER))]
        return tuple(found)
    if interval == "hour":
        following = _next_hour(start, tz)
        while following < end:
            found.append(following)
            now, later = following.astimezone(tz), (following + _HOUR).astimezone(tz)
            # Without a change of clocks in between, an hour takes an hour.
            plain = now.minute == 0 and now.utcoffset() == later.utcoffset()
            following = following + _HOUR if plain else _next_hour(following, tz)
        return tuple(found)
    first = calendar.interval_start(start, interval, tz).date()
    for day in _first_days(first, interval):
        midnight = calendar.midnight(datetime.combine(day, _MIDNIGHT), tz).astimezone(UTC)
        if midnight >= end:
            break
        # A day that a zone left out begins when the next one does.
        if midnight > found[-1]:
            found.append(midnight)
    return tuple(found)


def _next_hour(moment: datetime, tz: ZoneInfo) -> datetime:
    """Some hours are shorter: clocks change by half an hour, too."""
    following = period.interval_start_utc(moment + _HOUR, "hour", tz)
    return following if following > moment else moment + _QUARTER


def _first_days(day: date, interval: TimeInterval) -> Iterator[date]:
    """The days that intervals begin with, after the one that begins with `day`."""
    step = 7 * _DAY if interval == "week" else _DAY
    while True:
        day = (day + 31 * _DAY).replace(day=1) if interval == "month" else day + step
        yield day


def plan(end: datetime, starts: Sequence[datetime]) -> PeriodPlan:
    """For rows that begin at `starts` (UTC, whole quarters, ascending) up to `end`."""
    months: list[DateRange] = []
    days: list[DateRange] = []
    parts: list[DayPart] = []
    # In quarters of an hour since 1970: whole numbers are cut ten times as fast as times are.
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
            _split(_date(first_day), _date(last_day), months, days)
        if last_quarter:
            parts.append(DayPart(_date(last_day), 0, last_quarter, row))
    return PeriodPlan(tuple(starts), tuple(_joined(months)), tuple(_joined(days)), tuple(parts))


def _date(day: int) -> date:
    """Of the day that is so many after 1970-01-01."""
    return date.fromordinal(_EPOCH_DAY + day)


def _split(first: date, end: date, months: list[DateRange], days: list[DateRange]) -> None:
    """Whole days of one row: those that make up whole months apart."""
    month_first = first if first.day == 1 else (first.replace(day=1) + 32 * _DAY).replace(day=1)
    month_end = end.replace(day=1)
    if month_first < month_end:
        months.append(DateRange(month_first, month_end))
        days += [DateRange(first, month_first), DateRange(month_end, end)]
    else:
        days.append(DateRange(first, end))


def _joined(ranges: Iterable[DateRange]) -> Iterator[DateRange]:
    """Ranges that meet as one, empty ones left out."""
    held: DateRange | None = None
    for one in ranges:
        if one.first == one.end:
            continue
        if held is not None and held.end == one.first:
            held = DateRange(held.first, one.end)
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held
