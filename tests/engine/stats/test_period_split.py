"""Splitting of a period: each quarter of an hour is in one piece, of its row."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.stats import calendar, period
from engine.stats.period_split import interval_starts, split_period
from engine.stats.result import TimeInterval

START = datetime(2025, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "UTC"]
)
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_each_quarter_is_in_one_piece_of_its_row(name: str, interval: TimeInterval) -> None:
    tz = period.zone(name)
    start, end = START + timedelta(hours=5), START + timedelta(days=100, minutes=15)
    starts = interval_starts(start, end, interval, tz)
    split = split_period(starts, end)
    rows = Counter[datetime]()
    for part in split.parts:
        for quarter in range(part.first, part.end):
            moment = midnight(part.day) + quarter * period.QUARTER
            rows[moment] += 1
            first = period.interval_start_utc(starts[part.row - 1], interval, tz)
            assert first == period.interval_start_utc(moment, interval, tz)
    for whole in (*split.days, *split.months):
        day = whole.first
        while day < whole.end:
            assert (
                len(
                    {
                        period.interval_start_utc(midnight(day) + q * period.QUARTER, interval, tz)
                        for q in (0, 95)
                    }
                )
                == 1
            )
            rows.update(midnight(day) + q * period.QUARTER for q in range(96))
            day += timedelta(days=1)
    assert set(rows.values()) == {1}
    assert (min(rows), max(rows) + period.QUARTER) == (start, end)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def test_a_day_that_a_zone_skipped_has_no_row() -> None:
    samoa = period.zone("Pacific/Apia")
    starts = interval_starts(
        datetime(2011, 12, 28, 10, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC), "day", samoa
    )
    days = [start.astimezone(samoa).date().day for start in starts]
    assert days == [28, 29, 31, 1, 2]
    assert calendar.interval_start(starts[2], "day", samoa) == starts[2].astimezone(samoa)
