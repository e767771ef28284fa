"""Periods with which the period of a query is compared.

| `compare` | the other period |
|---|---|
| `previous` | the one before: as many months, days or hours by the local calendar |
| `year` | the same days a year earlier; the 29th of February becomes the 28th |
| `from..to` | any other, written as `from` and `to` are |

A period that is not over is compared with the same part of `previous` and `year`: today until now with
yesterday until the same time. The part ends with the running quarter of an hour.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from engine.stats import calendar, period

ComparisonKind = Literal["previous", "year", "period"]
Alignment = Literal["whole", "until_now", "as_given"]
_QUARTER = period.QUARTER


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The period [start, end) to compare with: in UTC, in whole quarters of an hour.

    `alignment`: `whole`, the whole period; `until_now`, the part of it that the running period has behind it;
    `as_given`, the caller's own.
    """

    kind: ComparisonKind
    start: datetime
    end: datetime
    alignment: Alignment


def compared(
    kind: Literal["previous", "year"], start: datetime, end: datetime, tz: ZoneInfo, now: datetime
) -> Comparison:
    """Return the period to compare [start, end) with, all in UTC."""
    shifted = _before(start, end, tz) if kind == "previous" else _years_earlier(tz)
    first = shifted(start)
    last = start if kind == "previous" else shifted(end)
    alignment: Alignment = "whole"
    if start <= now < end:
        alignment = "until_now"
        part_end = period.floor_quarter(now) + _QUARTER
        last = max(first + _QUARTER, min(last, shifted(part_end)))
    return Comparison(kind=kind, start=first, end=last, alignment=alignment)


def parse_comparison(text: str, tz: ZoneInfo) -> Comparison:
    """Return the comparison that `from..to` writes. Raises ValueError."""
    first, dots, last = text.partition("..")
    if not dots:
        raise ValueError("must be previous, year or a period such as 2026-03-01..2026-04-01")
    start = period.floor_quarter(period.parse_moment(first, tz))
    end = period.ceil_quarter(period.parse_moment(last, tz))
    if start >= end:
        raise ValueError("must be a period that ends after its start")
    return Comparison(kind="period", start=start, end=end, alignment="as_given")


def _before(start: datetime, end: datetime, tz: ZoneInfo) -> Callable[[datetime], datetime]:
    """Return the shift of a moment of [start, end) to the period before.

    Before whole months come as many months, and before whole days as many days. If either end is no local
    midnight, the moment is as many hours earlier.
    """
    # Days begin at one o'clock where clocks change at midnight.
    first, last = (moment.astimezone(tz).date() for moment in (start, end))
    if [calendar.day_start(day, tz).astimezone(UTC) for day in (first, last)] != [start, end]:
        return lambda moment: moment - (end - start)
    if first.day == last.day == 1:
        months = (last.year - first.year) * 12 + last.month - first.month
        return lambda moment: _earlier(moment, tz, months=months, months_end=True)
    return lambda moment: _earlier(moment, tz, days=(last - first).days)


def _years_earlier(tz: ZoneInfo) -> Callable[[datetime], datetime]:
    return lambda moment: _earlier(moment, tz, months=12)


def _earlier(
    moment: datetime, tz: ZoneInfo, *, months: int = 0, days: int = 0, months_end: bool = False
) -> datetime:
    """Return the moment of the same wall clock time so many months and days earlier, in whole quarters.

    For a day that the earlier month has not: its last day, or with `months_end` the month's end.
    """
    local = moment.astimezone(tz)
    day = calendar.months_later(local.date(), -months) - timedelta(days=days)
    if months_end and months and day.day < local.day:
        return calendar.day_start(day + timedelta(days=1), tz).astimezone(UTC)
    if moment == calendar.day_start(local.date(), tz):
        earlier = calendar.day_start(day, tz)
    else:
        earlier = datetime.combine(day, local.time(), tz)
    return period.floor_quarter(earlier.astimezone(UTC))
