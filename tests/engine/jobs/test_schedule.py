"""Due times of intervals and cron expressions, also on days when clocks change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.schedule import Cron, Every

MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(MOMENTS, st.integers(1, 10_000), st.integers(0, 10_000))
def test_an_interval_is_due_at_its_multiples(now: datetime, seconds: int, offset_s: int) -> None:
    due = Every(seconds, offset_s).last_due(now)
    assert timedelta(0) <= now - due < timedelta(seconds=seconds)
    assert (due.timestamp() - offset_s) % seconds == 0


@given(MOMENTS)
def test_a_cron_row_is_never_due_in_the_future_and_at_most_a_day_ago(now: datetime) -> None:
    for zone in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"):
        due = Cron("30 2 * * *", zone).last_due(now)
        assert timedelta(0) <= now - due <= timedelta(hours=25, minutes=30)
        assert Cron("30 2 * * *", zone).last_due(due) == due
        assert Cron("30 2 * * *", zone).last_due(due - timedelta(microseconds=1)) < due


@pytest.mark.parametrize(
    ("expression", "zone", "now", "due"),
    [
        ("0 3 * * *", "UTC", "2026-05-01T02:59:59.9", "2026-04-30T03:00:00"),
        ("0 3 * * *", "UTC", "2026-05-01T03:00:00", "2026-05-01T03:00:00"),
        ("*/15 * * * *", "UTC", "2026-05-01T03:44:59", "2026-05-01T03:30:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-05-01T01:00:00", "2026-05-01T01:00:00"),
        # Summer time in Berlin begins on 2026-03-29: 02:00 is 03:00, and a job for 02:30 is due then.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:59:59", "2026-03-28T01:30:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00", "2026-03-29T01:00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-30T00:29:59", "2026-03-29T01:00:00"),
        # It ends on 2026-10-25: 02:30 comes twice (00:30 and 01:30 UTC), and a job is due the first time only.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:45:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-26T01:29:59", "2026-10-25T00:30:00"),
        # Each quarter of an hour of real time is due, in the repeated hour too.
        ("*/15 * * * *", "Europe/Berlin", "2026-10-25T01:14:59", "2026-10-25T01:00:00"),
        ("*/15 * * * *", "Europe/Berlin", "2026-10-25T01:15:00", "2026-10-25T01:15:00"),
    ],
)
def test_the_last_due_time_of_a_cron_row(expression: str, zone: str, now: str, due: str) -> None:
    assert Cron(expression, zone).last_due(utc(now)) == utc(due)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 3 * * *", "15 1 * * *", "0 */6 * * *"])
def test_frequent_polling_for_a_year_sees_each_due_time_once(expression: str, zone: str) -> None:
    """Due times only grow, and a daily row has one on each local day, also when clocks change."""
    now = utc("2026-01-01T12:00:00")
    seen: list[datetime] = []
    while now <= utc("2026-12-31T12:00:00"):
        due = Cron(expression, zone).last_due(now)
        if not seen or due != seen[-1]:
            assert not seen or due > seen[-1]
            seen.append(due)
        now += timedelta(minutes=30 if now.month in (3, 4, 10, 11) else 720)
    if "/6" not in expression:
        assert len(seen) == 365
