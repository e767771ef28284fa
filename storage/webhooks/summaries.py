"""Summaries of a webhook's deliveries in Postgres.

The newest SUMMED_DELIVERIES are counted by the key, which begins with the event's time; of
the events themselves two are read.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from engine.webhooks.events import lowest_event_id
from engine.webhooks.summary import (
    SUMMED_DELIVERIES,
    TIMED_ATTEMPTS,
    DaySummary,
    WebhookSummary,
    every_day,
)
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("webhooks/webhooks")


async def read_summary(
    connection: Connection, tenant_id: int, webhook_id: int, days: int
) -> WebhookSummary:
    """Return the summary of a webhook's last `days` UTC days, in the transaction of `connection`."""
    today = await connection.fetchval(_SQL["today"])
    first = today - timedelta(days - 1)
    lowest = lowest_event_id(datetime(first.year, first.month, first.day, tzinfo=UTC))
    key = tenant_id, webhook_id, lowest
    rows = await connection.fetch(_SQL["summary"], *key, SUMMED_DELIVERIES)
    times = await connection.fetchrow(_SQL["answer_times"], *key, TIMED_ATTEMPTS)
    assert times is not None
    counted = [
        DaySummary(row["day"], row["delivered"], row["failed"], row["pending"]) for row in rows
    ]
    oldest = {
        state: min((row[state] for row in rows if row[state] is not None), default=None)
        for state in ("oldest_pending", "oldest_failed")
    }
    ids = [id_ for id_ in oldest.values() if id_ is not None]
    events = await connection.fetch(_SQL["event_times"], tenant_id, ids) if ids else []
    at = {row["id"]: row["at"] for row in events}
    return WebhookSummary(
        days=every_day(counted, first, today),
        complete=sum(sum(day[1:]) for day in counted) < SUMMED_DELIVERIES,
        attempts=sum(row["attempts"] for row in rows),
        p50_ms=times["p50_ms"],
        p95_ms=times["p95_ms"],
        oldest_pending_at=at.get(oldest["oldest_pending"]),
        oldest_failed_at=at.get(oldest["oldest_failed"]),
    )
