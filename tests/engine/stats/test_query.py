"""Stats queries: the previous period."""

from datetime import UTC, datetime

import pytest

from engine.stats import query
from engine.stats.query_parser import parse_query

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tz", "start", "end", "before"),
    [
        ("Europe/Rome", "2026-03-01", "2026-04-01", "2026-02-01"),
        ("Europe/Rome", "2026-01-01", "2026-03-01", "2025-11-01"),
        ("Europe/Rome", "2026-03-27", "2026-03-31", "2026-03-23"),
        ("Europe/Rome", "2026-03-28T10:00", "2026-03-30T10:00", "2026-03-26T11:00"),
        # The 8th of March begins at one o'clock, the 1st of November ends an hour late.
        ("America/Havana", "2026-03-08", "2026-03-15", "2026-03-01"),
        ("America/Havana", "2026-03-07", "2026-03-08", "2026-03-06"),
        ("America/Havana", "2026-10-31", "2026-11-01", "2026-10-30"),
        ("America/Havana", "2026-11-01T05:00Z", "2026-11-02", "2026-10-31T01:00"),
    ],
)
def test_the_previous_period_has_as_many_months_days_or_hours(
    tz: str, start: str, end: str, before: str
) -> None:
    query_ = parse_query([("from", start), ("to", end), ("tz", tz), ("compare", "previous")], NOW)
    previous = query.previous_period(query_)
    expected = parse_query([("from", before), ("to", end), ("tz", tz)], NOW)
    assert (previous.start, previous.end) == (expected.start, query_.start)
    assert not previous.previous
