"""Periods by name, in a zone: so many days with today, the present one, or all."""

from datetime import UTC, date, datetime

import pytest

from engine.common.errors import InvalidError
from engine.stats.query_parser import parse_query

NOW = datetime(2026, 5, 20, 22, 40, tzinfo=UTC)  # the 21st in Rome, a Thursday


def period(name: str, *, week_start: str = "monday", first: date | None = None) -> tuple[str, str]:
    pairs = [("period", name), ("tz", "Europe/Rome"), ("week_start", week_start)]
    query = parse_query(pairs, NOW, first)
    start, end = (
        moment.astimezone(tz=NOW.tzinfo).isoformat() for moment in (query.start, query.end)
    )
    return start, end


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("1d", "2026-05-21", "2026-05-22"), ("day", "2026-05-21", "2026-05-22"),
        ("7d", "2026-05-15", "2026-05-22"), ("28d", "2026-04-24", "2026-05-22"),
        ("week", "2026-05-18", "2026-05-25"), ("month", "2026-05-01", "2026-06-01"),
        ("quarter", "2026-04-01", "2026-07-01"), ("year", "2026-01-01", "2027-01-01"),
        ("365d", "2025-05-22", "2026-05-22"),
    ],
)  # fmt: skip
def test_a_period_ends_with_today_or_is_the_present_one(name: str, start: str, end: str) -> None:
    dates = parse_query([("from", start), ("to", end), ("tz", "Europe/Rome")], NOW)
    assert period(name) == (dates.start.isoformat(), dates.end.isoformat())


def test_a_week_begins_with_the_weekday_of_the_query() -> None:
    assert period("week", week_start="sunday")[0] == "2026-05-16T22:00:00+00:00"
    assert period("week", week_start="friday")[0] == "2026-05-14T22:00:00+00:00"
    pairs = [("interval", "week"), ("week_start", "sunday"), ("from", "2026-05-01")]
    assert parse_query(pairs, NOW).end == datetime(2026, 5, 24, tzinfo=UTC)


def test_all_begins_with_the_first_counts() -> None:
    assert period("all", first=date(2025, 3, 1))[0] == "2025-02-28T23:00:00+00:00"
    assert period("all")[0] == "2026-05-19T22:00:00+00:00"


def test_all_by_day_may_be_too_long() -> None:
    with pytest.raises(InvalidError, match="interval: must be longer: day allows"):
        parse_query([("period", "all"), ("interval", "day")], NOW, date(2010, 1, 1))
