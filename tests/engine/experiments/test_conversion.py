"""Attribution of conversions: its windows, and clocks that are wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click_id import ClickId
from engine.experiments.conversion import (
    ConversionDraft,
    VerifiedConversion,
    attribution_of,
    errors,
)
from engine.experiments.counts import bucket_of
from engine.experiments.experiment import ATTRIBUTION_HOURS

CLICKED = datetime(2026, 5, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
WEEK_H = 168


def click(at_us: int = int(CLICKED.timestamp()) * 1_000_000, experiment_id: int = 7) -> ClickId:
    return ClickId(1, 2, 3, at_us, experiment_id=experiment_id)


def attribution(at: timedelta, received: timedelta | None = None, hours: int = WEEK_H) -> str:
    """Return the attribution of a conversion that happened, and was received, so long after its click."""
    draft = ConversionDraft(click_id="x")
    received_at = CLICKED + (at if received is None else received)
    return attribution_of(VerifiedConversion(draft, click(), CLICKED + at, received_at), hours)


def test_a_conversion_counts_within_the_window_of_its_experiment() -> None:
    for hours in (1, WEEK_H, ATTRIBUTION_HOURS[-1]):
        window = timedelta(hours=hours)
        assert attribution(window, hours=hours) == "attributed"
        assert attribution(window + US, hours=hours) == "expired"
    assert (ATTRIBUTION_HOURS[0], ATTRIBUTION_HOURS[-1]) == (1, 30 * 24)


def test_a_conversion_may_be_reported_up_to_31_days_after_its_click() -> None:
    assert attribution(timedelta(), timedelta(days=31)) == "attributed"
    assert attribution(timedelta(), timedelta(days=31) + US) == "expired"


def test_a_conversion_without_an_experiment_counts_nowhere() -> None:
    conversion = VerifiedConversion(ConversionDraft(click_id="x"), click(), CLICKED, CLICKED)
    assert attribution_of(conversion, None) == "deleted"
    unexposed = conversion._replace(click=click(experiment_id=0))
    assert attribution_of(unexposed, WEEK_H) == "unexposed"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (CLICKED - timedelta(minutes=5), None),
        (CLICKED - timedelta(minutes=5) - US, "must not be before the click"),
        (CLICKED + timedelta(hours=1, minutes=5), None),
        (CLICKED + timedelta(hours=1, minutes=5) + US, "must not be in the future"),
        (CLICKED.replace(tzinfo=None), "must have a time zone"),
    ],
)
def test_a_conversion_happened_after_its_click_by_clocks_that_may_differ(
    at: datetime, reason: str | None
) -> None:
    draft = ConversionDraft(click_id="x", at=at)
    field_errors = errors(draft, click(), CLICKED + timedelta(hours=1))
    assert [error.reason for error in field_errors] == ([] if reason is None else [reason])


@given(st.integers(-(2**63), 2**63 - 1), st.datetimes(timezones=st.just(UTC)))
def test_no_clock_of_an_edge_breaks_the_attribution(at_us: int, now: datetime) -> None:
    """A click id has the time of the edge that made it, whatever its clock showed."""
    made = click(at_us)
    errors(
        ConversionDraft(click_id="x", at=now), made, now.replace(year=2026, day=min(now.day, 28))
    )
    conversion = VerifiedConversion(ConversionDraft(click_id="x"), made, now, now)
    assert attribution_of(conversion, WEEK_H) in ("attributed", "expired")


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))
def test_a_time_is_in_the_bucket_that_began_last(at: datetime) -> None:
    start = bucket_of(at)
    assert timedelta() <= at - start < timedelta(minutes=15)
    assert (start.minute % 15, start.second, start.microsecond) == (0, 0, 0)
