"""Times of clicks."""

from datetime import UTC, datetime

import pytest

from engine.clicks.click import LAST_US, time_of


@pytest.mark.parametrize(
    ("at_us", "time"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_780_000_000_123_456, datetime(2026, 5, 28, 20, 26, 40, 123_456, UTC)),
        (LAST_US, datetime(9998, 12, 31, 23, 59, 59, 0, UTC)),
        (2**63 - 1, datetime(9998, 12, 31, 23, 59, 59, 0, UTC)),
    ],
)
def test_a_time_is_exact_and_within_the_calendar(at_us: int, time: datetime) -> None:
    assert time_of(at_us) == time
