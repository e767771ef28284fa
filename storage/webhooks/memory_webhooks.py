"""Webhooks and deliveries in memory: the twin of storage.webhooks.webhooks and storage.webhooks.deliveries.

A method changes the state without a checkpoint in between, which makes each one a transaction.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.webhooks.delivery import (
    DISABLED_AFTER_S,
    REPLAYED_AT_ONCE,
    RETENTION_DAYS,
    SHOWN_ATTEMPTS,
    Attempt,
    Delivery,
    DueDelivery,
    RecordedAttempt,
    RecordOutcome,
    ReplayResult,
)
from engine.webhooks.events import EndpointDisabled, EndpointTest, EventDraft, matching_names
from engine.webhooks.ports import InFlightDelivery
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
from storage.webhooks.webhooks import (
    TEST_MESSAGE,
    demand_enabled,
    differs,
    key_pair,
    unknown_delivery,
    webhook_limit_error,
)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _MemoryWebhook:
    """A webhook with what signs (newest first, each with its end) and whose work it is."""

    tenant_id: int
    webhook: Webhook
    secrets: list[tuple[str, datetime | None]]
    enabled_at: datetime
    owner: str | None = None
    token: int = 0
    until: datetime = _LONG_AGO
    failing_since: datetime | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.tenant_id, self.webhook.id


@dataclass
class _Event:
    id: int
    draft: EventDraft
    at: datetime
    webhook_id: int | None = None
    pending: bool = True


@dataclass
class _Delivery:
    event: _Event
    next_attempt_at: datetime
    state: str = "pending"
    tries: int = 0
    attempts: int = 0
    finished_at: datetime | None = None
    made: list[RecordedAttempt] = field(default_factory=list)


class MemoryWebhooks:
    """WebhookStore and DeliveryQueue without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._held: dict[int, _MemoryWebhook] = {}
        self._events: dict[int, _Event] = {}
        self._once: set[tuple[int, int, str]] = set()
        self._deliveries: dict[int, dict[int, _Delivery]] = defaultdict(dict)
        self._answers = MemoryIdempotency(now)

    def emit(self, drafts: Sequence[EventDraft]) -> None:
        """As storage.webhooks.outbox.emit."""
        for draft in drafts:
            wanted = any(self._wants(held, draft.type) for held in self._of(draft.profile_id))
            once = (draft.tenant_id, draft.profile_id, draft.once or "")
            if not wanted or (draft.once is not None and once in self._once):
                continue
            self._once |= {once} if draft.once is not None else set()
            self._add(_Event(next(self._ids), draft, self._now()))

    # ---- what the console asks ------------------------------------------------------------------

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
            if len(list(self._of(profile_id))) >= MAX_WEBHOOKS:
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
            self._held[webhook.id] = _MemoryWebhook(
                profile.tenant_id, webhook, [(secret, None)], now
            )
            return NewSecret(webhook, None if public else secret)

        return self._answers.only_once(caller, once, work)

    async def webhook(self, caller: Caller, webhook_id: int) -> Webhook:
        await trio.lowlevel.checkpoint()
        return self._mine(caller, webhook_id).webhook

    async def list_webhooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_WEBHOOKS)
        found = [held.webhook for held in self._of(profile_id) if held.webhook.id > after]
        return ListPage.of(found, limit)

    async def update_webhook(
        self, caller: Caller, webhook_id: int, draft: WebhookDraft, if_version: int | None = None
    ) -> Webhook:
        await trio.lowlevel.checkpoint()
        held = self._mine(caller, webhook_id, if_version)
        if not differs(held.webhook, draft):
            return held.webhook
        if (draft.enabled and not held.webhook.enabled) or draft.url != held.webhook.url:
            held.enabled_at = self._now()
        self._change(
            held,
            url=draft.url,
            description=draft.description,
            event_types=tuple(draft.event_types),
            ordered=draft.ordered,
            max_concurrency=draft.max_concurrency,
            max_rate=draft.max_rate,
            enabled=draft.enabled,
            disabled_reason=None if draft.enabled else held.webhook.disabled_reason,
        )
        return held.webhook

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        self._mine(caller, webhook_id, if_version)
        del self._held[webhook_id]
        self._deliveries.pop(webhook_id, None)

    async def rotate_secret(self, caller: Caller, webhook_id: int) -> NewSecret:
        await trio.lowlevel.checkpoint()
        held = self._mine(caller, webhook_id)
        secret, public = key_pair(held.webhook.signature)
        end = self._now() + timedelta(hours=OLD_SECRET_HOURS)
        old = [(text, until or end) for text, until in held.secrets]
        held.secrets = [(secret, None), *old][:MAX_SECRETS]
        self._change(held, public_key=public, secret_changed_at=self._now())
        return NewSecret(held.webhook, None if public else secret)

    async def deliveries(
        self, caller: Caller, webhook_id: int, asked: DeliveryFilter, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._mine(caller, webhook_id)
        found = [
            _shown(one)
            for id_, one in sorted(self._deliveries[webhook_id].items(), reverse=True)
            if (not before or id_ < before)
            and asked.state in (None, one.state)
            and asked.type in (None, one.event.draft.type)
        ]
        return ListPage.of(found, limit, "event_id")

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        await trio.lowlevel.checkpoint()
        self._mine(caller, webhook_id)
        return _shown(self._delivery(webhook_id, event_id))

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        await trio.lowlevel.checkpoint()
        demand_enabled(self._mine(caller, webhook_id).webhook)
        found = self._delivery(webhook_id, event_id)
        self._again(webhook_id, found.event)
        return _shown(found)

    async def replay_since(
        self, caller: Caller, webhook_id: int, since: datetime, failed_only: bool
    ) -> ReplayResult:
        await trio.lowlevel.checkpoint()
        held = self._mine(caller, webhook_id)
        demand_enabled(held.webhook)
        known = self._deliveries[webhook_id]
        found = [
            event
            for event in self._events.values()
            if event.at >= since
            and not event.pending
            and event.draft.profile_id == held.webhook.profile_id
            and self._is_for(held, event)
            and not (failed_only and event.id in known and known[event.id].state == "delivered")
        ][:REPLAYED_AT_ONCE]
        for event in found:
            self._again(webhook_id, event)
        more = len(found) == REPLAYED_AT_ONCE
        return ReplayResult(len(found), found[-1].at if more else None)

    async def send_test(self, caller: Caller, webhook_id: int) -> Delivery:
        await trio.lowlevel.checkpoint()
        held = self._mine(caller, webhook_id)
        demand_enabled(held.webhook)
        profile_id = held.webhook.profile_id
        data = EndpointTest(
            profile_id=str(profile_id), webhook_id=str(webhook_id), message=TEST_MESSAGE
        )
        draft = EventDraft(held.tenant_id, profile_id, "endpoint.test", data)
        event = self._add(_Event(next(self._ids), draft, self._now(), webhook_id, False))
        self._again(webhook_id, event)
        return _shown(self._deliveries[webhook_id][event.id])

    # ---- what couriers ask ----------------------------------------------------------------------

    async def fan_out(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        taken = [event for event in self._events.values() if event.pending][:limit]
        for event in taken:
            event.pending = False
            for held in self._of(event.draft.profile_id):
                if held.webhook.enabled and self._is_for(held, event):
                    self._again(held.webhook.id, event)
        return len(taken)

    async def claim(
        self,
        owner: str,
        ttl_s: float,
        limit: int,
        each: int,
        in_flight: Sequence[InFlightDelivery],
        resting: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        await trio.lowlevel.checkpoint()
        now, flying = self._now(), set(in_flight)
        ranked: list[tuple[int, datetime, DueDelivery]] = []
        for held in self._held.values():
            due = self._due(held, now)
            if not held.webhook.enabled or not due:
                continue
            if held.owner not in (None, owner) and held.until > now:
                continue
            if not limit and held.owner != owner:
                continue
            held.token += held.owner != owner
            held.owner, held.until = owner, now + timedelta(seconds=ttl_s)
            busy = sum((f.tenant_id, f.webhook_id) == held.key for f in flying)
            most = min(each, held.webhook.max_concurrency or each)
            room = int(not busy) if held.webhook.ordered else max(most - busy, 0)
            if held.key in resting:
                continue
            free = [one for one in due if InFlightDelivery(*held.key, one.event.id) not in flying]
            for place, one in enumerate(free[:room]):
                ranked.append((place, one.next_attempt_at, self._as_due(held, one)))
        return [due for *_, due in sorted(ranked, key=lambda one: one[:2])][:limit]

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        await trio.lowlevel.checkpoint()
        refused = disabled = 0
        for attempt in attempts:
            held = self._held.get(attempt.due.webhook_id)
            if held is None or (held.owner, held.token) != (owner, attempt.due.token):
                refused += 1
                continue
            self._settle(held, attempt)
            disabled += self._judge(held, attempt)
        return RecordOutcome(refused, disabled)

    async def release(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        for held in self._held.values():
            if held.owner == owner:
                held.owner = None

    async def purge(self) -> None:
        await trio.lowlevel.checkpoint()
        oldest = self._now() - timedelta(days=RETENTION_DAYS)
        for event in [event for event in self._events.values() if event.at < oldest]:
            del self._events[event.id]
            for found in self._deliveries.values():
                found.pop(event.id, None)

    # ---- what both need -------------------------------------------------------------------------

    def _of(self, profile_id: int) -> Iterator[_MemoryWebhook]:
        return (held for held in self._held.values() if held.webhook.profile_id == profile_id)

    def _mine(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> _MemoryWebhook:
        held = self._held.get(webhook_id)
        if held is None:
            raise NotFoundError.of("webhook")
        self._profiles.team(caller, held.webhook.profile_id, Action.MANAGE_WEBHOOKS)
        require_version(held.webhook.version, if_version)
        return held

    def _change(self, held: _MemoryWebhook, **values: object) -> None:
        values |= {"version": held.webhook.version + 1, "updated_at": self._now()}
        held.webhook = msgspec.structs.replace(held.webhook, **values)

    def _wants(self, held: _MemoryWebhook, type_: str) -> bool:
        return not set(matching_names(type_)).isdisjoint(held.webhook.event_types)

    def _is_for(self, held: _MemoryWebhook, event: _Event) -> bool:
        if event.webhook_id is None:
            return self._wants(held, event.draft.type)
        return event.webhook_id == held.webhook.id

    def _add(self, event: _Event) -> _Event:
        self._events[event.id] = event
        return event

    def _again(self, webhook_id: int, event: _Event) -> None:
        known = self._deliveries[webhook_id].setdefault(event.id, _Delivery(event, self._now()))
        known.state, known.tries, known.finished_at = "pending", 0, None
        known.next_attempt_at = self._now()

    def _delivery(self, webhook_id: int, event_id: int) -> _Delivery:
        found = self._deliveries[webhook_id].get(event_id)
        if found is None:
            raise unknown_delivery()
        return found

    def _due(self, held: _MemoryWebhook, now: datetime) -> list[_Delivery]:
        pending = [
            one for one in self._deliveries[held.webhook.id].values() if one.state == "pending"
        ]
        if held.webhook.ordered:
            pending = sorted(pending, key=lambda one: one.event.id)[:1]
        due = [one for one in pending if one.next_attempt_at <= now]
        return sorted(due, key=lambda one: (one.next_attempt_at, one.event.id))

    def _as_due(self, held: _MemoryWebhook, one: _Delivery) -> DueDelivery:
        now = self._now()
        secrets = tuple(text for text, end in held.secrets if end is None or end > now)
        event, webhook = one.event, held.webhook
        return DueDelivery(
            held.tenant_id, event.draft.profile_id, webhook.id, event.id, held.token, one.tries,
            one.attempts + 1, webhook.url, webhook.ordered, webhook.max_concurrency, webhook.max_rate,
            secrets, event.draft.type, event.at, msgspec.to_builtins(event.draft.data),
        )  # fmt: skip

    def _settle(self, held: _MemoryWebhook, attempt: Attempt) -> None:
        due, answer, now = attempt.due, attempt.result, self._now()
        one = self._deliveries[held.webhook.id].get(due.event_id)
        if one is None:
            return
        one.made.append(
            RecordedAttempt(due.number, attempt.at, attempt.duration_ms, answer.status, answer.error,
                        answer.response)
        )  # fmt: skip
        one.attempts = max(one.attempts, due.number)
        if one.tries < due.tries and not answer.delivered:  # replayed meanwhile
            return
        one.state, one.tries = attempt.state, due.tries + 1
        one.next_attempt_at = now + timedelta(seconds=attempt.delay_s or 0)
        one.finished_at = None if attempt.state == "pending" else now

    def _judge(self, held: _MemoryWebhook, attempt: Attempt) -> bool:
        """Disable what is gone, or has not worked for too long; whether that was done."""
        now = self._now()
        if attempt.result.delivered:
            held.failing_since = None
            return False
        held.failing_since = held.failing_since or now
        since = max(held.failing_since, held.enabled_at)
        failing = now - since > timedelta(seconds=DISABLED_AFTER_S)
        gone = attempt.gone and attempt.due.url == held.webhook.url
        if not held.webhook.enabled or not (gone or failing):
            return False
        reason = "it answered 410 Gone" if gone else (
            f"nothing has succeeded since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        )  # fmt: skip
        self._change(held, enabled=False, disabled_reason=reason)
        webhook = held.webhook
        data = EndpointDisabled(
            profile_id=str(webhook.profile_id),
            webhook_id=str(webhook.id),
            url=webhook.url,
            reason=reason,
        )
        draft = EventDraft(held.tenant_id, webhook.profile_id, "endpoint.disabled", data)
        self.emit([draft])
        return True


def _shown(one: _Delivery) -> Delivery:
    event = one.event
    return Delivery(
        event.id,
        event.draft.type,
        event.at,
        one.state,  # type: ignore[arg-type]  # one of its three words
        one.attempts,
        one.next_attempt_at if one.state == "pending" else None,
        one.finished_at,
        msgspec.to_builtins(event.draft.data),
        tuple(one.made[-SHOWN_ATTEMPTS:]),
    )
