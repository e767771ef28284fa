"""Webhooks and deliveries in memory: the twin of storage.webhooks.webhooks and storage.webhooks.deliveries.

No method yields to another task while it changes the state, so each is a transaction.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.webhooks.delivery import (
    DISABLED_AFTER_S,
    REPLAYED_AT_ONCE,
    RETENTION_DAYS,
    Attempt,
    Delivery,
    DueDelivery,
    RecordedAttempt,
    RecordOutcome,
    ReplayResult,
)
from engine.webhooks.events import EndpointDisabled, EndpointTest, EventDraft, matching_names
from engine.webhooks.ports import InFlightDelivery
from engine.webhooks.summary import SUMMED_DELIVERIES, WebhookSummary
from engine.webhooks.webhook import (
    MAX_SECRETS,
    MAX_WEBHOOKS,
    OLD_SECRET_HOURS,
    DeliveryFilter,
    NewSecret,
    NewWebhookDraft,
    Webhook,
    WebhookDraft,
)
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency
from storage.webhooks.memory_rows import DeliveryRow, EventRow, WebhookRow, as_delivery, shown
from storage.webhooks.memory_summary import summary_of
from storage.webhooks.webhooks import (
    TEST_MESSAGE,
    delivery_not_found,
    differs,
    key_pair,
    require_enabled,
    webhook_limit_error,
)


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryWebhooks:
    """WebhookStore and DeliveryQueue without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._webhooks: dict[int, WebhookRow] = {}
        self._events: dict[int, EventRow] = {}
        self._once_names: set[tuple[int, int, str]] = set()
        self._deliveries: dict[int, dict[int, DeliveryRow]] = defaultdict(dict)
        self._idempotency = MemoryIdempotency(now)

    def append_to_outbox(self, drafts: Sequence[EventDraft]) -> None:
        """Add the events that a webhook of their profile subscribes to, as storage.webhooks.outbox does."""
        for draft in drafts:
            entries = self._of_profile(draft.profile_id)
            subscribed = any(self._subscribes(entry, draft.type) for entry in entries)
            once = (draft.tenant_id, draft.profile_id, draft.once or "")
            if not subscribed or (draft.once is not None and once in self._once_names):
                continue
            self._once_names |= {once} if draft.once is not None else set()
            self._add(EventRow(next(self._ids), draft, self._now()))

    # ---- WebhookStore, for the console ----------------------------------------------------------

    async def create_webhook(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewWebhookDraft,
        once: IdempotentRequest[NewSecret] | None = None,
    ) -> NewSecret:
        await trio.lowlevel.checkpoint()

        def work() -> NewSecret:
            profile, _ = self._profiles.team(caller, profile_id, Action.MANAGE_WEBHOOKS)
            if len(list(self._of_profile(profile_id))) >= MAX_WEBHOOKS:
                raise webhook_limit_error()
            secret, public = key_pair(draft.signature)
            now = self._now()
            webhook = Webhook(
                id=next(self._ids), profile_id=profile_id, url=draft.url,
                description=draft.description, event_types=tuple(draft.event_types),
                ordered=draft.ordered, max_concurrency=draft.max_concurrency,
                max_rate=draft.max_rate, enabled=draft.enabled, signature=draft.signature,
                disabled_reason=None, public_key=public, secret_changed_at=now, version=1,
                created_at=now, updated_at=now,
            )  # fmt: skip
            self._webhooks[webhook.id] = WebhookRow(
                profile.tenant_id, webhook, [(secret, None)], now
            )
            return NewSecret(webhook, None if public else secret)

        return self._idempotency.run_once(caller, once, work)

    async def webhook(self, caller: Caller, webhook_id: int) -> Webhook:
        await trio.lowlevel.checkpoint()
        return shown(self._enter(caller, webhook_id), self._now())

    async def list_webhooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_WEBHOOKS)
        entries = self._of_profile(profile_id)
        webhooks = [shown(entry, self._now()) for entry in entries if entry.webhook.id > after]
        return ListPage.of(webhooks, limit)

    async def update_webhook(
        self,
        caller: Caller,
        webhook_id: int,
        draft: Change[WebhookDraft, Webhook],
        if_version: int | None = None,
    ) -> Webhook:
        await trio.lowlevel.checkpoint()
        entry = self._enter(caller, webhook_id, if_version)
        wanted = draft_after(draft, entry.webhook)
        if not differs(entry.webhook, wanted):
            return shown(entry, self._now())
        if (wanted.enabled and not entry.webhook.enabled) or wanted.url != entry.webhook.url:
            entry.enabled_at = self._now()
        self._change(
            entry,
            url=wanted.url,
            description=wanted.description,
            event_types=tuple(wanted.event_types),
            ordered=wanted.ordered,
            max_concurrency=wanted.max_concurrency,
            max_rate=wanted.max_rate,
            enabled=wanted.enabled,
            disabled_reason=None if wanted.enabled else entry.webhook.disabled_reason,
        )
        return shown(entry, self._now())

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        self._enter(caller, webhook_id, if_version)
        del self._webhooks[webhook_id]
        self._deliveries.pop(webhook_id, None)

    async def rotate_secret(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[NewSecret] | None = None
    ) -> NewSecret:
        await trio.lowlevel.checkpoint()
        return self._idempotency.run_once(caller, once, lambda: self._rotate(caller, webhook_id))

    def _rotate(self, caller: Caller, webhook_id: int) -> NewSecret:
        entry = self._enter(caller, webhook_id)
        secret, public = key_pair(entry.webhook.signature)
        end = self._now() + timedelta(hours=OLD_SECRET_HOURS)
        old = [(text, until or end) for text, until in entry.secrets]
        entry.secrets = [(secret, None), *old][:MAX_SECRETS]
        self._change(entry, public_key=public, secret_changed_at=self._now())
        return NewSecret(entry.webhook, None if public else secret)

    async def deliveries(
        self,
        caller: Caller,
        webhook_id: int,
        conditions: DeliveryFilter,
        before: int,
        limit: int,
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._enter(caller, webhook_id)
        deliveries = [
            as_delivery(delivery)
            for id_, delivery in sorted(self._deliveries[webhook_id].items(), reverse=True)
            if (not before or id_ < before)
            and conditions.state in (None, delivery.state)
            and conditions.type in (None, delivery.event.draft.type)
            and (conditions.start is None or delivery.event.at >= conditions.start)
            and (conditions.end is None or delivery.event.at < conditions.end)
        ]
        return ListPage.of(deliveries, limit, "event_id")

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        await trio.lowlevel.checkpoint()
        self._enter(caller, webhook_id)
        return as_delivery(self._delivery(webhook_id, event_id))

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        await trio.lowlevel.checkpoint()
        require_enabled(self._enter(caller, webhook_id).webhook)
        delivery = self._delivery(webhook_id, event_id)
        self._make_pending(webhook_id, delivery.event)
        return as_delivery(delivery)

    async def replay_since(
        self,
        caller: Caller,
        webhook_id: int,
        since: datetime,
        failed_only: bool,
        dry_run: bool = False,
    ) -> ReplayResult:
        await trio.lowlevel.checkpoint()
        entry = self._enter(caller, webhook_id)
        if not dry_run:
            require_enabled(entry.webhook)
        deliveries = self._deliveries[webhook_id]
        events = [
            event
            for event in self._events.values()
            if event.at >= since
            and not event.pending
            and event.draft.profile_id == entry.webhook.profile_id
            and self._is_for(entry, event)
            and not (
                failed_only and event.id in deliveries and deliveries[event.id].state == "delivered"
            )
        ][:REPLAYED_AT_ONCE]
        for event in () if dry_run else events:
            self._make_pending(webhook_id, event)
        more = len(events) == REPLAYED_AT_ONCE
        return ReplayResult(len(events), events[-1].at if more else None)

    async def summary(self, caller: Caller, webhook_id: int, days: int) -> WebhookSummary:
        page = await self.deliveries(caller, webhook_id, DeliveryFilter(), 0, SUMMED_DELIVERIES)
        return summary_of(page.items, self._now(), days)

    async def send_test(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[Delivery] | None = None
    ) -> Delivery:
        await trio.lowlevel.checkpoint()
        return self._idempotency.run_once(caller, once, lambda: self._send_test(caller, webhook_id))

    def _send_test(self, caller: Caller, webhook_id: int) -> Delivery:
        entry = self._enter(caller, webhook_id)
        require_enabled(entry.webhook)
        profile_id = entry.webhook.profile_id
        data = EndpointTest(
            profile_id=str(profile_id), webhook_id=str(webhook_id), message=TEST_MESSAGE
        )
        draft = EventDraft(entry.tenant_id, profile_id, "endpoint.test", data)
        event = self._add(EventRow(next(self._ids), draft, self._now(), webhook_id, False))
        self._make_pending(webhook_id, event)
        return as_delivery(self._deliveries[webhook_id][event.id])

    # ---- DeliveryQueue, for couriers ------------------------------------------------------------

    async def fan_out(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        events = [event for event in self._events.values() if event.pending][:limit]
        for event in events:
            event.pending = False
            for entry in self._of_profile(event.draft.profile_id):
                if entry.webhook.enabled and self._is_for(entry, event):
                    self._make_pending(entry.webhook.id, event)
        return len(events)

    async def claim(
        self,
        owner: str,
        ttl_s: float,
        limit: int,
        max_concurrency: int,
        in_flight: Sequence[InFlightDelivery],
        blocked: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        await trio.lowlevel.checkpoint()
        now, flying = self._now(), set(in_flight)
        ranked: list[tuple[int, datetime, DueDelivery]] = []
        for entry in self._webhooks.values():
            due = self._due(entry, now)
            if not entry.webhook.enabled or not due:
                continue
            if entry.owner not in (None, owner) and entry.until > now:
                continue
            if not limit and entry.owner != owner:
                continue
            entry.token += entry.owner != owner
            entry.owner, entry.until = owner, now + timedelta(seconds=ttl_s)
            busy = sum((f.tenant_id, f.webhook_id) == entry.key for f in flying)
            limit_each = min(max_concurrency, entry.webhook.max_concurrency or max_concurrency)
            capacity = int(not busy) if entry.webhook.ordered else max(limit_each - busy, 0)
            if entry.key in blocked:
                continue
            free = [
                delivery
                for delivery in due
                if InFlightDelivery(*entry.key, delivery.event.id) not in flying
            ]
            for rank, delivery in enumerate(free[:capacity]):
                ranked.append((rank, delivery.next_attempt_at, self._as_due(entry, delivery)))
        return [due for *_, due in sorted(ranked, key=lambda row: row[:2])][:limit]

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        await trio.lowlevel.checkpoint()
        refused = disabled = 0
        for attempt in attempts:
            entry = self._webhooks.get(attempt.due.webhook_id)
            if entry is None or (entry.owner, entry.token) != (owner, attempt.due.token):
                refused += 1
                continue
            self._settle(entry, attempt)
            disabled += self._note_endpoint_health(entry, attempt)
        return RecordOutcome(refused, disabled)

    async def release(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        for entry in self._webhooks.values():
            if entry.owner == owner:
                entry.owner = None

    async def purge(self) -> None:
        await trio.lowlevel.checkpoint()
        oldest = self._now() - timedelta(days=RETENTION_DAYS)
        for event in [event for event in self._events.values() if event.at < oldest]:
            del self._events[event.id]
            for deliveries in self._deliveries.values():
                deliveries.pop(event.id, None)

    # ---- the state ------------------------------------------------------------------------------

    def _of_profile(self, profile_id: int) -> Iterator[WebhookRow]:
        return (
            entry for entry in self._webhooks.values() if entry.webhook.profile_id == profile_id
        )

    def _enter(self, caller: Caller, webhook_id: int, if_version: int | None = None) -> WebhookRow:
        entry = self._webhooks.get(webhook_id)
        if entry is None:
            raise NotFoundError.of("webhook")
        self._profiles.team(caller, entry.webhook.profile_id, Action.MANAGE_WEBHOOKS)
        require_version(entry.webhook.version, if_version)
        return entry

    def _change(self, entry: WebhookRow, **values: object) -> None:
        values |= {"version": entry.webhook.version + 1, "updated_at": self._now()}
        entry.webhook = msgspec.structs.replace(entry.webhook, **values)

    def _subscribes(self, entry: WebhookRow, type_: str) -> bool:
        return not set(matching_names(type_)).isdisjoint(entry.webhook.event_types)

    def _is_for(self, entry: WebhookRow, event: EventRow) -> bool:
        if event.webhook_id is None:
            return self._subscribes(entry, event.draft.type)
        return event.webhook_id == entry.webhook.id

    def _add(self, event: EventRow) -> EventRow:
        self._events[event.id] = event
        return event

    def _make_pending(self, webhook_id: int, event: EventRow) -> None:
        delivery = self._deliveries[webhook_id].setdefault(
            event.id, DeliveryRow(event, self._now())
        )
        delivery.state, delivery.tries, delivery.finished_at = "pending", 0, None
        delivery.next_attempt_at = self._now()

    def _delivery(self, webhook_id: int, event_id: int) -> DeliveryRow:
        delivery = self._deliveries[webhook_id].get(event_id)
        if delivery is None:
            raise delivery_not_found()
        return delivery

    def _due(self, entry: WebhookRow, now: datetime) -> list[DeliveryRow]:
        pending = [
            delivery
            for delivery in self._deliveries[entry.webhook.id].values()
            if delivery.state == "pending"
        ]
        if entry.webhook.ordered:
            pending = sorted(pending, key=lambda delivery: delivery.event.id)[:1]
        due = [delivery for delivery in pending if delivery.next_attempt_at <= now]
        return sorted(due, key=lambda delivery: (delivery.next_attempt_at, delivery.event.id))

    def _as_due(self, entry: WebhookRow, delivery: DeliveryRow) -> DueDelivery:
        now = self._now()
        secrets = tuple(text for text, end in entry.secrets if end is None or end > now)
        event, webhook = delivery.event, entry.webhook
        return DueDelivery(
            entry.tenant_id, event.draft.profile_id, webhook.id, event.id, entry.token, delivery.tries,
            delivery.attempts + 1, webhook.url, webhook.ordered, webhook.max_concurrency, webhook.max_rate,
            secrets, event.draft.type, event.at, msgspec.to_builtins(event.draft.data),
        )  # fmt: skip

    def _settle(self, entry: WebhookRow, attempt: Attempt) -> None:
        due, result, now = attempt.due, attempt.result, self._now()
        delivery = self._deliveries[entry.webhook.id].get(due.event_id)
        if delivery is None:
            return
        delivery.recent_attempts.append(
            RecordedAttempt(due.number, attempt.at, attempt.duration_ms, result.status, result.error,
                        result.response)
        )  # fmt: skip
        delivery.attempts = max(delivery.attempts, due.number)
        if (
            delivery.tries < due.tries and not result.delivered
        ):  # a member replayed it during the attempt
            return
        delivery.state, delivery.tries = attempt.state, due.tries + 1
        delivery.next_attempt_at = now + timedelta(seconds=attempt.delay_s or 0)
        delivery.finished_at = None if attempt.state == "pending" else now

    def _note_endpoint_health(self, entry: WebhookRow, attempt: Attempt) -> bool:
        """Disable a webhook that is gone or fails for too long. Returns whether it was disabled."""
        now = self._now()
        entry.failures, entry.rests_until = (
            attempt.failures,
            now + timedelta(seconds=attempt.rest_s),
        )
        if attempt.result.delivered:
            entry.failing_since = None
            return False
        entry.failing_since = entry.failing_since or now
        since = max(entry.failing_since, entry.enabled_at)
        failing = now - since > timedelta(seconds=DISABLED_AFTER_S)
        gone = attempt.gone and attempt.due.url == entry.webhook.url
        if not entry.webhook.enabled or not (gone or failing):
            return False
        reason = "it answered 410 Gone" if gone else (
            f"nothing has succeeded since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        )  # fmt: skip
        self._change(entry, enabled=False, disabled_reason=reason)
        webhook = entry.webhook
        data = EndpointDisabled(
            profile_id=str(webhook.profile_id),
            webhook_id=str(webhook.id),
            url=webhook.url,
            reason=reason,
        )
        draft = EventDraft(entry.tenant_id, webhook.profile_id, "endpoint.disabled", data)
        self.append_to_outbox([draft])
        return True
