"""`/v1/webhooks/{id}/summary`: a summary of a webhook's deliveries."""

from datetime import date, datetime
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response, utc
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError
from engine.webhooks.ports import WebhookStore
from engine.webhooks.summary import MAX_SUMMARY_DAYS, SUMMED_DELIVERIES, WebhookSummary


class SummaryDayResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of a UTC day's events, by state."""

    day: date
    delivered: int
    failed: int
    pending: int


class SummaryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A summary of a webhook's deliveries. `days` are oldest first, without a gap. `complete` is false if
    there are more than can be counted: the oldest are left out. `attempts` are those of the counted deliveries;
    `p50_ms` and `p95_ms` are the times of the newest responses. `oldest_pending_at` and `oldest_failed_at` say
    when the event happened."""

    days: list[SummaryDayResponse]
    complete: bool
    delivered: int
    failed: int
    pending: int
    attempts: int
    p50_ms: int | None
    p95_ms: int | None
    oldest_pending_at: datetime | None
    oldest_failed_at: datetime | None


class SummaryRoutes:
    def __init__(self, store: WebhookStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/webhooks/<webhook_id>/summary", self.read, _READ)]

    async def read(self, webhook_id: str) -> Response:
        query, errors = parameters("days")
        text = query.get("days", str(MAX_SUMMARY_DAYS))
        days = int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else 0
        if not 1 <= days <= MAX_SUMMARY_DAYS:
            reason = f"must be a whole number from 1 to {MAX_SUMMARY_DAYS}"
            errors.append(FieldError("days", reason))
        if errors:
            raise InvalidError(errors)
        summary = await self._store.summary(current_caller(), path_id(webhook_id), days)
        return json_response(summary_response(summary))


def summary_response(summary: WebhookSummary) -> SummaryResponse:
    """Return a summary as the API shows it."""
    return SummaryResponse(
        days=[SummaryDayResponse(**day._asdict()) for day in summary.days],
        complete=summary.complete,
        delivered=sum(day.delivered for day in summary.days),
        failed=sum(day.failed for day in summary.days),
        pending=sum(day.pending for day in summary.days),
        attempts=summary.attempts,
        p50_ms=summary.p50_ms,
        p95_ms=summary.p95_ms,
        oldest_pending_at=_utc(summary.oldest_pending_at),
        oldest_failed_at=_utc(summary.oldest_failed_at),
    )


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else utc(time)


EXAMPLE: Final = {
    "days": [
        {"day": "2026-05-01", "delivered": 41, "failed": 0, "pending": 0},
        {"day": "2026-05-02", "delivered": 17, "failed": 2, "pending": 3},
    ],
    "complete": True,
    "delivered": 58,
    "failed": 2,
    "pending": 3,
    "attempts": 79,
    "p50_ms": 96,
    "p95_ms": 412,
    "oldest_pending_at": "2026-05-02T09:31:00Z",
    "oldest_failed_at": "2026-05-02T08:12:00Z",
}
_READ: Final = Doc(
    id="summariseWebhook",
    summary="Read what a webhook's deliveries have come to",
    tag="Webhooks",
    description=f"The newest {SUMMED_DELIVERIES:,} deliveries of the last days, by the UTC day of their event. "
    "Takes the role admin.",
    query=(
        Parameter(
            "days",
            f"So many days, today included; {MAX_SUMMARY_DAYS} if left out.",
            Annotated[int, msgspec.Meta(ge=1, le=MAX_SUMMARY_DAYS)],
            7,
        ),
    ),
    responses={200: ResponseDoc("The summary.", SummaryResponse, EXAMPLE)},
)
