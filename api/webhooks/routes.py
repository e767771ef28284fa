"""Endpoints of webhooks, deliveries and event types, and their dependencies."""

from dataclasses import dataclass

from api.http.routes import Route
from api.http.shared import Shared
from api.webhooks.deliveries import DeliveryRoutes
from api.webhooks.event_types import EventTypeRoutes
from api.webhooks.summaries import SummaryRoutes
from api.webhooks.webhooks import WebhookRoutes
from engine.webhooks.ports import WebhookStore


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeps:
    webhooks: WebhookStore


def routes(deps: WebhookDeps, shared: Shared) -> list[Route]:
    return [
        *WebhookRoutes(deps.webhooks, shared.settings.webhook_loopback).routes(),
        *DeliveryRoutes(deps.webhooks).routes(),
        *SummaryRoutes(deps.webhooks).routes(),
        *EventTypeRoutes().routes(),
    ]
