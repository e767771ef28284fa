"""Ports of webhooks, as in engine/links/ports.py: what people and couriers ask of the place where they are kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from engine.accounts.access import Caller
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
from engine.webhooks.webhook import (
    DeliveryFilter,
    NewSecret,
    NewWebhookDraft,
    Webhook,
    WebhookDraft,
)


class WebhookStore(Protocol):
    """Webhooks of profiles, for their owners and admins; errors as in ProfileStore.

    A delivery's id is its event's. What is to be sent again or as a test takes a webhook that is
    enabled, else ConflictError("enabled", …).
    """

    async def create_webhook(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewWebhookDraft,
        once: IdempotentRequest[NewSecret] | None = None,
    ) -> NewSecret:
        """Raises ConflictError("webhooks", …) at MAX_WEBHOOKS."""

    async def webhook(self, caller: Caller, webhook_id: int) -> Webhook: ...

    async def list_webhooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_webhook(
        self, caller: Caller, webhook_id: int, draft: WebhookDraft, if_version: int | None = None
    ) -> Webhook: ...

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        """With its deliveries."""

    async def rotate_secret(self, caller: Caller, webhook_id: int) -> NewSecret:
        """A new secret; those before it sign as well for OLD_SECRET_HOURS."""

    async def deliveries(
        self, caller: Caller, webhook_id: int, asked: DeliveryFilter, before: int, limit: int
    ) -> ListPage:
        """Deliveries, newest event first, of ids below `before` (0: from the newest)."""

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery: ...

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery: ...

    async def replay_since(
        self, caller: Caller, webhook_id: int, since: datetime, failed_only: bool
    ) -> ReplayResult:
        """What happened since then and the webhook wants to hear of; REPLAYED_AT_ONCE at most."""

    async def send_test(self, caller: Caller, webhook_id: int) -> Delivery: ...


class InFlightDelivery(NamedTuple):
    """A delivery that a courier has at hand."""

    tenant_id: int
    webhook_id: int
    event_id: int


class DeliveryQueue(Protocol):
    """Deliveries as a courier sees them. A webhook belongs to one courier at a time, by a lease whose
    token fences what is reported. Times are the store's own."""

    async def fan_out(self, limit: int) -> int:
        """Make deliveries of up to `limit` new events, once each, oldest first; how many events."""

    async def claim(
        self,
        owner: str,
        ttl_s: float,
        limit: int,
        each: int,
        in_flight: Sequence[InFlightDelivery],
        resting: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        """Deliveries that are due, at most `limit`, and of one webhook no more than `each` and its own
        `max_concurrency` with those in flight; of one whose order is kept the first alone. None of the
        webhooks (tenant and id) in `resting`.

        Renews the leases of webhooks that have something in flight, and takes free ones as needed: with
        a `limit` of 0, none.
        """

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        """Write down what came of attempts, and when the next ones are due; what is reported under a
        lease that was lost is refused. Disables a webhook that answered 410, or that nothing has
        succeeded with for DISABLED_AFTER_S."""

    async def release(self, owner: str) -> None:
        """Give back all leases of `owner`, so that nobody has to wait for them to expire."""

    async def purge(self) -> None:
        """Delete events of more than RETENTION_DAYS ago, and what is left of webhooks whose profile is gone."""


class WebhookSender(Protocol):
    """Sends one request to a receiver."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        """Never raises for what the receiver or the network does: that is an answer without a status.

        Bounded in bytes and not in time: the caller cancels.
        """
