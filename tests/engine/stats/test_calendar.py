"""Invariant: an interval starts at the first moment with its local hour, day, week or month."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from engine.stats import calendar
from engine.stats.result import TimeInterval
from tests.kit.intervals import CHANGES, first_moment


@given(st.sampled_from(CHANGES), st.sampled_from(get_args(TimeInterval)), st.integers(-300, 300))
def test_the_start_is_the_first_moment(
    zone_change: tuple[str, datetime], interval: TimeInterval, quarters: int
) -> None:
    zone = ZoneInfo(zone_change[0])
    moment = zone_change[1] + timedelta(minutes=15 * quarters)
    start = calendar.interval_start(moment + timedelta(minutes=7, microseconds=1), interval, zone)
    assert start.astimezone(UTC) == first_moment(moment, interval, zone)
    assert start.tzinfo == zone
