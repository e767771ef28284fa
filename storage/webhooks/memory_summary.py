"""Summaries of deliveries in memory: the twin of storage.webhooks.summaries."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from engine.webhooks.delivery import Delivery
from engine.webhooks.summary import (
    SUMMED_DELIVERIES,
    TIMED_ATTEMPTS,
    DaySummary,
    WebhookSummary,
    every_day,
)


def summary_of(deliveries: Sequence[Delivery], now: datetime, days: int) -> WebhookSummary:
    """Return the summary of deliveries, newest event first, of the `days` UTC days that end with `now`."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days - 1)
    recent = [each for each in deliveries if each.at.astimezone(UTC).date() >= first]
    recent = recent[:SUMMED_DELIVERIES]
    counts = Counter((each.at.astimezone(UTC).date(), each.state) for each in recent)
    counted = [
        DaySummary(day, counts[day, "delivered"], counts[day, "failed"], counts[day, "pending"])
        for day in {day for day, _ in counts}
    ]
    times = sorted(
        attempt.duration_ms
        for each in recent[:TIMED_ATTEMPTS]
        for attempt in each.recent_attempts
        if attempt.status is not None
    )
    return WebhookSummary(
        days=every_day(counted, first, today),
        complete=len(recent) < SUMMED_DELIVERIES,
        attempts=sum(each.attempts for each in recent),
        p50_ms=_percentile(times, 0.5),
        p95_ms=_percentile(times, 0.95),
        oldest_pending_at=_oldest(recent, "pending"),
        oldest_failed_at=_oldest(recent, "failed"),
    )


def _percentile(values: Sequence[int], share: float) -> int | None:
    """Return the smallest of sorted values that at least this share is not above; None of none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _oldest(deliveries: Sequence[Delivery], state: str) -> datetime | None:
    return min((each.at for each in deliveries if each.state == state), default=None)
