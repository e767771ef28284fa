"""Ports of webhooks: one for members, one for couriers, and the sender of requests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from engine.accounts.access import Caller
from engine.common.drafts import Change
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.webhooks.delivery import (
    Attempt,
    AttemptResult,
    Delivery,
    DueDelivery,
    RecordOutcome,
    ReplayResult,
)
from engine.webhooks.events import EventDraft
from engine.webhooks.summary import WebhookSummary
from engine.webhooks.webhook import (
    DeliveryFilter,
    NewSecret,
    NewWebhookDraft,
    Webhook,
    WebhookDraft,
)


class Outbox(Protocol):
    """The outbox of events, for code that has no transaction of its own."""

    async def append(self, connection: Any, drafts: Sequence[EventDraft]) -> None:
        """Write events in the transaction of `connection`, if a webhook of their profile subscribes to them."""


class WebhookStore(Protocol):
    """Webhooks of profiles, for their owners and admins; errors as in ProfileStore.

    A delivery's id is that of its event. Replays and tests raise ConflictError("enabled", …) if the webhook is
    disabled.
    """

    async def create_webhook(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewWebhookDraft,
        once: IdempotentRequest[NewSecret] | None = None,
    ) -> NewSecret:
        """Create a webhook. Raises ConflictError("webhooks", …) if the profile has MAX_WEBHOOKS."""

    async def webhook(self, caller: Caller, webhook_id: int) -> Webhook: ...

    async def list_webhooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_webhook(
        self,
        caller: Caller,
        webhook_id: int,
        draft: Change[WebhookDraft, Webhook],
        if_version: int | None = None,
    ) -> Webhook: ...

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        """Delete a webhook and its deliveries."""

    async def rotate_secret(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[NewSecret] | None = None
    ) -> NewSecret:
        """Make a new secret. For OLD_SECRET_HOURS, the previous secrets sign too."""

    async def deliveries(
        self, caller: Caller, webhook_id: int, conditions: DeliveryFilter, before: int, limit: int
    ) -> ListPage:
        """Return deliveries, newest event first, of ids below `before` (0: from the newest)."""

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery: ...

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        """Make a delivery due again. Returns it."""

    async def replay_since(
        self,
        caller: Caller,
        webhook_id: int,
        since: datetime,
        failed_only: bool,
        dry_run: bool = False,
    ) -> ReplayResult:
        """Make the deliveries of events since a time due now, oldest first, at most REPLAYED_AT_ONCE.

        The events are those that the webhook subscribes to, also those from a time when it was disabled.
        `failed_only` leaves out delivered ones. `dry_run` only counts, also for a disabled webhook.
        """

    async def summary(self, caller: Caller, webhook_id: int, days: int) -> WebhookSummary:
        """Return what the webhook's deliveries of the last `days` UTC days have come to, at most
        SUMMED_DELIVERIES."""

    async def send_test(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[Delivery] | None = None
    ) -> Delivery:
        """Enqueue an `endpoint.test` event for this webhook only. Returns its delivery."""


class InFlightDelivery(NamedTuple):
    """The key of a delivery that a courier is attempting or has yet to record."""

    tenant_id: int
    webhook_id: int
    event_id: int


class DeliveryQueue(Protocol):
    """Deliveries of all tenants, for couriers. One courier at a time leases a webhook; the lease's fencing
    token guards its records. Times are by the store's clock."""

    async def fan_out(self, limit: int) -> int:
        """Make the deliveries of up to `limit` new events, oldest first. Returns the number of events."""

    async def claim(
        self,
        owner: str,
        ttl_s: float,
        limit: int,
        max_concurrency: int,
        in_flight: Sequence[InFlightDelivery],
        blocked: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        """Claim at most `limit` due deliveries of the webhooks that `owner` leases.

        Together with those in flight, a webhook gets at most `max_concurrency` and its own limit; an ordered
        webhook gets its first delivery alone. The webhooks in `blocked` (tenant, webhook id) get none.
        Renews the leases of webhooks with deliveries in flight for `ttl_s` seconds, and acquires free webhooks
        as needed: with a `limit` of 0, none.
        """

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        """Record attempts and the due times of the next ones. Attempts under a lost lease are refused.

        Disables a webhook that answered 410, or had no success for DISABLED_AFTER_S.
        """

    async def release(self, owner: str) -> None:
        """Release all leases of `owner`, so that other couriers need not wait until they expire."""

    async def purge(self) -> None:
        """Delete events older than RETENTION_DAYS, and the rows of webhooks whose profile is deleted."""


class WebhookSender(Protocol):
    """A sender of single requests to webhook receivers."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        """Send one request. Returns failures of the receiver and the network as results without a status.

        Bounded in bytes and not in time: the caller cancels.
        """
