"""Webhooks, events and deliveries as the twin in memory keeps them, and as members see them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.webhooks.delivery import SHOWN_ATTEMPTS, Delivery, RecordedAttempt
from engine.webhooks.events import EventDraft
from engine.webhooks.webhook import Webhook

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class WebhookRow:
    """A webhook with its secrets (newest first, each with its end) and its lease."""

    tenant_id: int
    webhook: Webhook
    secrets: list[tuple[str, datetime | None]]
    enabled_at: datetime
    owner: str | None = None
    token: int = 0
    until: datetime = LONG_AGO
    failing_since: datetime | None = None
    failures: int = 0
    rests_until: datetime = LONG_AGO

    @property
    def key(self) -> tuple[int, int]:
        return self.tenant_id, self.webhook.id


@dataclass
class EventRow:
    id: int
    draft: EventDraft
    at: datetime
    webhook_id: int | None = None
    pending: bool = True


@dataclass
class DeliveryRow:
    event: EventRow
    next_attempt_at: datetime
    state: str = "pending"
    tries: int = 0
    attempts: int = 0
    finished_at: datetime | None = None
    recent_attempts: list[RecordedAttempt] = field(default_factory=list)


def shown(entry: WebhookRow, now: datetime) -> Webhook:
    """Return a webhook with what couriers note of it."""
    return msgspec.structs.replace(
        entry.webhook,
        failing_since=entry.failing_since,
        failures=entry.failures,
        rests_until=entry.rests_until if entry.rests_until > now else None,
    )


def as_delivery(delivery: DeliveryRow) -> Delivery:
    event = delivery.event
    return Delivery(
        event.id,
        event.draft.type,
        event.at,
        delivery.state,  # type: ignore[arg-type]  # a DeliveryState
        delivery.attempts,
        delivery.next_attempt_at if delivery.state == "pending" else None,
        delivery.finished_at,
        msgspec.to_builtins(event.draft.data),
        tuple(delivery.recent_attempts[-SHOWN_ATTEMPTS:]),
    )
