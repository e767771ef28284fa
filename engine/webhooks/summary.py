"""Summaries of a webhook's deliveries: how many a day, how long answers take, what still waits."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

SUMMED_DELIVERIES: Final = 50_000
TIMED_ATTEMPTS: Final = 1_000
MAX_SUMMARY_DAYS: Final = 30


class DaySummary(NamedTuple):
    """The deliveries of a UTC day's events, by state."""

    day: date
    delivered: int
    failed: int
    pending: int


class WebhookSummary(NamedTuple):
    """A summary of deliveries. `days` are oldest first and have no gap.

    `complete` is False if there are more than SUMMED_DELIVERIES: the oldest are left out. `attempts` are those
    of all deliveries that were counted. `p50_ms` and `p95_ms` are of the newest TIMED_ATTEMPTS attempts that
    got a response, None without one. `oldest_pending_at` and `oldest_failed_at` are times of events, None
    without such a delivery.
    """

    days: tuple[DaySummary, ...]
    complete: bool
    attempts: int
    p50_ms: int | None
    p95_ms: int | None
    oldest_pending_at: datetime | None
    oldest_failed_at: datetime | None


def every_day(counted: Sequence[DaySummary], first: date, last: date) -> tuple[DaySummary, ...]:
    """Return a summary for each day from `first` to `last`; a day that was not counted has zeros."""
    by_day = {summary.day: summary for summary in counted}
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return tuple(by_day.get(day, DaySummary(day, 0, 0, 0)) for day in days)
