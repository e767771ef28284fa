"""Periods to compare with: the one before, a year earlier, and the same part of them while a period runs."""

from datetime import UTC, datetime

import pytest

from engine.common.errors import InvalidError
from engine.stats.parameters.comparison import Comparison
from engine.stats.query_parser import parse_query

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
ROME, HAVANA = "Europe/Rome", "America/Havana"


def comparison(compare: str, tz: str, start: str, end: str, now: datetime = NOW) -> Comparison:
    pairs = [("from", start), ("to", end), ("tz", tz), ("compare", compare)]
    compared = parse_query(pairs, now).comparison
    assert compared is not None
    return compared


def period(tz: str, start: str, end: str) -> tuple[datetime, datetime]:
    query = parse_query([("from", start), ("to", end), ("tz", tz)], NOW)
    return query.start, query.end


@pytest.mark.parametrize(
    ("tz", "start", "end", "before"),
    [
        (ROME, "2026-03-01", "2026-04-01", "2026-02-01"),
        (ROME, "2026-01-01", "2026-03-01", "2025-11-01"),
        (ROME, "2026-03-27", "2026-03-31", "2026-03-23"),
        (ROME, "2026-03-28T10:00", "2026-03-30T10:00", "2026-03-26T11:00"),
        # The 8th of March begins at one o'clock, the 1st of November ends an hour late.
        (HAVANA, "2026-03-08", "2026-03-15", "2026-03-01"),
        (HAVANA, "2026-03-07", "2026-03-08", "2026-03-06"),
        (HAVANA, "2025-11-01", "2025-11-02", "2025-10-31"),
        (HAVANA, "2025-11-02T05:00Z", "2025-11-03", "2025-11-01T01:00"),
    ],
)
def test_the_previous_period_has_as_many_months_days_or_hours(
    tz: str, start: str, end: str, before: str
) -> None:
    compared = comparison("previous", tz, start, end)
    assert (compared.start, compared.end) == period(tz, before, start)
    assert compared.alignment == "whole"


@pytest.mark.parametrize(
    ("start", "end", "earlier"),
    [
        ("2026-03-01", "2026-04-01", ("2025-03-01", "2025-04-01")),
        ("2024-02-29", "2024-03-01", ("2023-02-28", "2023-03-01")),
        ("2025-02-28", "2025-03-01", ("2024-02-28", "2024-03-01")),
        ("2026-03-10T08:15", "2026-03-11T08:15", ("2025-03-10T08:15", "2025-03-11T08:15")),
    ],
)
def test_a_year_earlier_has_the_same_days(start: str, end: str, earlier: tuple[str, str]) -> None:
    compared = comparison("year", ROME, start, end)
    assert (compared.start, compared.end) == period(ROME, *earlier)


@pytest.mark.parametrize(
    ("compare", "start", "end", "now", "part"),
    [
        # Today until now with yesterday until now: to the end of the running quarter of an hour.
        ("previous", "2026-05-20", "2026-05-21", "2026-05-20T11:40+02:00",
         ("2026-05-19", "2026-05-19T11:45")),
        ("previous", "2026-05-01", "2026-06-01", "2026-05-20T11:40+02:00",
         ("2026-04-01", "2026-04-20T11:45")),
        # February is over when March is at its 29th.
        ("previous", "2026-03-01", "2026-04-01", "2026-03-30T11:40+02:00", ("2026-02-01", "2026-03-01")),
        ("previous", "2026-05-14", "2026-05-21", "2026-05-20T11:40+02:00",
         ("2026-05-07", "2026-05-13T11:45")),
        ("year", "2026-01-01", "2027-01-01", "2026-05-20T11:40+02:00",
         ("2025-01-01", "2025-05-20T11:45")),
        # The clocks went forward this morning, yesterday's did not.
        ("previous", "2026-03-29", "2026-03-30", "2026-03-29T10:00+02:00",
         ("2026-03-28", "2026-03-28T10:15")),
    ],
)  # fmt: skip
def test_a_running_period_is_compared_with_the_same_part(
    compare: str, start: str, end: str, now: str, part: tuple[str, str]
) -> None:
    compared = comparison(compare, ROME, start, end, datetime.fromisoformat(now))
    assert (compared.start, compared.end) == period(ROME, *part)
    assert compared.alignment == "until_now"


def test_a_period_of_the_callers_own_is_taken_as_given() -> None:
    compared = comparison("2026-01-01..2026-02-01T10:07", ROME, "2026-05-01", "2026-06-01")
    assert (compared.start, compared.end) == period(ROME, "2026-01-01", "2026-02-01T10:15")
    assert (compared.kind, compared.alignment) == ("period", "as_given")


@pytest.mark.parametrize("text", ["", "next", "2026-01-01", "2026-02-01..2026-01-01", "x..y", ".."])
def test_another_comparison_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="compare: must be"):
        comparison(text, ROME, "2026-05-01", "2026-06-01")


def test_a_comparison_may_not_be_longer_than_rows_allow() -> None:
    pairs = [("from", "2026-05-01"), ("to", "2026-05-02"), ("interval", "15m")]
    with pytest.raises(InvalidError, match="compare: must be a shorter period: 15m allows"):
        parse_query([*pairs, ("compare", "2025-01-01..2026-01-01")], NOW)
