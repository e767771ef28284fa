"""The courier of the workers: how it is made, and what it says of itself."""

import random
from datetime import UTC, datetime
from typing import Final

from actors.courier import Courier, CourierLimits
from engine.ports_webhooks import WebhookSender
from engine.settings import Settings
from engine.statistics import Sample
from storage.deliveries import PostgresDeliveryQueue
from storage.postgres import Database

_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "given_up"}


def courier_limits(settings: Settings) -> CourierLimits:
    return CourierLimits(
        max_concurrency=settings.webhook_concurrency,
        rate_per_s=settings.webhook_rate,
        lease_ttl_s=settings.lease_ttl_ms / 1000,
    )


def make_courier(
    owner: str, database: Database, sender: WebhookSender, limits: CourierLimits
) -> Courier:
    """`database` was opened as waypost_aggregator."""
    return Courier(
        owner,
        PostgresDeliveryQueue(database),
        sender,
        now=lambda: datetime.now(UTC),
        jitter=lambda: random.uniform(-1, 1),  # noqa: S311
        limits=limits,
    )


def courier_samples(courier: Courier) -> list[Sample]:
    figures = courier.metrics()
    return [
        Sample("waypost_webhooks_in_flight", figures["at_hand"]),
        Sample("waypost_webhooks_circuit_open", figures["resting"]),
        Sample("waypost_webhooks_events_total", figures["events"]),
        Sample("waypost_webhooks_stale_total", figures["stale"]),
        Sample("waypost_webhooks_disabled_total", figures["disabled"]),
        *(
            Sample("waypost_webhooks_attempts_total", figures[state], (("outcome", outcome),))
            for state, outcome in _OUTCOMES.items()
        ),
    ]
