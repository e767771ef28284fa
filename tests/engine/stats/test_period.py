"""Periods: moments in a zone, changes of clocks included, and the bounds of a period."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from engine.stats import period
from engine.stats.result import TimeInterval

ROME = ZoneInfo("Europe/Rome")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01t10:00:00.5z", "2026-03-01T10:00:00.500000+00:00"),
        ("2026-03-01T10:00:00+05:30", "2026-03-01T04:30:00+00:00"),
        ("2026-03-01T10:00:00 05:30", "2026-03-01T04:30:00+00:00"),
        ("2026-03-01 10:00-01:00", "2026-03-01T11:00:00+00:00"),
        ("2026-03-01", "2026-02-28T23:00:00+00:00"),
        ("2026-07-01T10:00", "2026-07-01T08:00:00+00:00"),
        # Skipped by the clock change: 30 minutes after it, so 03:30.
        ("2026-03-29T02:30", "2026-03-29T01:30:00+00:00"),
        # Twice on that day: the first one, in summer time.
        ("2026-10-25T02:30", "2026-10-25T00:30:00+00:00"),
    ],
)
def test_moments(text: str, instant: str) -> None:
    assert period.parse_moment(text, ROME) == at(instant)


def test_a_midnight_that_a_clock_change_skips_is_the_start_of_its_day() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    start = period.parse_moment("2018-11-04", sao_paulo)
    assert start.astimezone(sao_paulo).isoformat() == "2018-11-04T01:00:00-02:00"


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026", "2026-W01-1", "20260301", "2026-02-30", "2026-03-01T25:00", "1999-12-31",
        "2100-01-01", "9999-12-31T23:59:59Z", "0001-01-01", "2026-03-01T10:00:00+99:00",
        "2026-03-01\n", "٢٠٢٦-03-01", "2026-03-01T10:00:60Z", "-2026-03-01", "\ud800",
    ],
)  # fmt: skip
def test_a_text_that_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        period.parse_moment(text, ROME)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "\0", "x" * 9999])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a time zone"):
        period.zone(name)


@pytest.mark.parametrize("interval", get_args(TimeInterval))
def test_an_instant_lies_in_its_interval_and_ends_meet_starts(interval: TimeInterval) -> None:
    for tz in (ZoneInfo("UTC"), ROME, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns")):
        for day in range(0, 400, 3):
            instant = datetime(2026, 1, 1, 13, 37, tzinfo=UTC) + timedelta(days=day)
            start, end = (
                period.interval_start_utc(instant, interval, tz),
                period.interval_end(instant, interval, tz),
            )
            assert start <= instant < end
            assert period.interval_start_utc(start, interval, tz) == start
            assert period.interval_start_utc(end, interval, tz) == end
            assert period.interval_start_utc(end - timedelta(seconds=1), interval, tz) == start


def test_the_default_is_30_local_days_up_to_the_end_of_the_current_interval() -> None:
    now = at("2026-04-10T10:07:00+00:00")
    start, end = period.parse_period(None, None, "day", ROME, now)
    assert end == at("2026-04-11T00:00:00+02:00")
    assert start == at("2026-03-12T00:00:00+01:00")
    start, end = period.parse_period(None, None, "15m", ROME, now)
    assert end == at("2026-04-10T10:15:00+00:00")
    start, end = period.parse_period(None, None, "month", ROME, now)
    assert (start, end) == (at("2026-04-01T00:00:00+02:00"), at("2026-05-01T00:00:00+02:00"))


def test_a_period_is_widened_to_whole_quarters() -> None:
    start, end = period.parse_period(
        at("2026-03-01T10:07:00+00:00"), at("2026-03-01T10:08:00+00:00"), "15m", ROME, period.FIRST
    )
    assert (start, end) == (at("2026-03-01T10:00:00+00:00"), at("2026-03-01T10:15:00+00:00"))
    exact = at("2026-03-01T10:15:00+00:00")
    assert period.parse_period(exact, exact, "15m", ROME, period.FIRST) == (exact, exact)


def test_every_default_period_is_allowed_and_no_allowed_one_has_too_many_rows() -> None:
    lengths = {
        "15m": 0.25,
        "hour": 1,
        "day": 24,
        "week": 7 * 24,
        "month": 28 * 24,
        "quarter": 90 * 24,
    }
    lengths["year"] = 365 * 24
    for interval in get_args(TimeInterval):
        start, end = period.parse_period(
            None, None, interval, ROME, at("2026-04-10T10:07:00+00:00")
        )
        assert not period.period_error(start, end, interval)
        assert period.LONGEST_DAYS[interval] * 24 / lengths[interval] < 10_000


@pytest.mark.parametrize(
    "name",
    [
        "localtime", "posixrules", "Factory", "right/UTC", "posix/Europe/Rome", "/etc/localtime",
        "/usr/share/zoneinfo/Europe/Rome", "../zoneinfo/UTC", "leapseconds", "leap-seconds.list", "tzdata.zi",
        "zone.tab", "Europe", "europe/rome", "Europe/Rome\0", "Europe//Rome", "", "UTC+1", "\ud800",
    ],
)  # fmt: skip
def test_what_the_machine_keeps_beside_zones_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="must be a time zone of the IANA database"):
        period.zone(name)


def test_every_zone_of_the_list_can_be_read() -> None:
    assert len(period.zone_names()) > 500
    assert {period.zone(name).key for name in period.zone_names()} == period.zone_names()
