"""Webhooks in Postgres, for the console.

Guarantees, on top of those of `engine.webhooks.ports.WebhookStore`:
- a secret is written and never read here: the role is not granted the column;
- concurrent creates make at most MAX_WEBHOOKS webhooks: each takes a numbered slot, which is part of a key;
- to delete a webhook with a million deliveries keeps no courier waiting: the deliveries are deleted first, in
  batches, because fan-outs and records wait for the transaction that deletes a webhook;
- a replay and a test are deliveries like any other: a courier claims them within its polling interval.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller, require
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.webhooks.delivery import (
    REPLAYED_AT_ONCE,
    SHOWN_ATTEMPTS,
    Delivery,
    RecordedAttempt,
    ReplayResult,
)
from engine.webhooks.events import EndpointTest, lowest_event_id
from engine.webhooks.signature import SECRET_BYTES, new_key_pair, new_secret
from engine.webhooks.summary import WebhookSummary
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
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once
from storage.webhooks.summaries import read_summary

SQL: Final = queries.load("webhooks/webhooks")
TEST_MESSAGE: Final = "A test, sent on request."
DELETE_ROWS: Final = 5_000
# An event's id is made a moment before or after the time that it is given.
ID_MARGIN_S: Final = 3_600
T = TypeVar("T")


class PostgresWebhookStore:
    """WebhookStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_webhook(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewWebhookDraft,
        once: IdempotentRequest[NewSecret] | None = None,
    ) -> NewSecret:
        secret, public = key_pair(draft.signature)

        async def work(connection: Connection) -> NewSecret:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_WEBHOOKS)
            await connection.execute(SQL["lock_profile"], access.tenant_id, profile_id)
            webhook_id = await connection.fetchval(
                SQL["create_webhook"],
                access.tenant_id,
                profile_id,
                *_columns(draft),
                draft.signature,
            )
            if webhook_id is None:
                raise webhook_limit_error()
            await connection.execute(SQL["create_state"], access.tenant_id, webhook_id)
            await connection.execute(
                SQL["add_secret"], access.tenant_id, webhook_id, secret, public
            )
            webhook = await _fetch(connection, access, webhook_id)
            return NewSecret(webhook, None if public else secret)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def webhook(self, caller: Caller, webhook_id: int) -> Webhook:
        async def work(connection: Connection) -> Webhook:
            return await _fetch(
                connection, await _enter(connection, caller, webhook_id), webhook_id
            )

        return await self._read(caller, work)

    async def list_webhooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_WEBHOOKS)
            rows = await connection.fetch(
                SQL["list_webhooks"], access.tenant_id, profile_id, min(after, MAX_ID), limit + 1
            )
            webhooks = [_webhook(row) for row in rows]
            return ListPage.of(webhooks, limit)

        return await self._read(caller, work)

    async def update_webhook(
        self,
        caller: Caller,
        webhook_id: int,
        draft: Change[WebhookDraft, Webhook],
        if_version: int | None = None,
    ) -> Webhook:
        async def work(connection: Connection) -> Webhook:
            access = await _enter(connection, caller, webhook_id)
            stored = await _lock(connection, access, webhook_id, if_version)
            wanted = draft_after(draft, stored)
            if not differs(stored, wanted):
                return stored
            await connection.execute(
                SQL["update_webhook"], access.tenant_id, webhook_id, *_columns(wanted)
            )
            return await _fetch(connection, access, webhook_id)

        return await self._database.transaction(work, caller=caller)

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        async def delete_rows(connection: Connection) -> str:
            access = await _enter(connection, caller, webhook_id)
            await _lock(connection, access, webhook_id, if_version)
            key = access.tenant_id, webhook_id
            return await connection.execute(SQL["delete_deliveries"], *key, DELETE_ROWS)

        async def work(connection: Connection) -> None:
            access = await _enter(connection, caller, webhook_id)
            await _lock(connection, access, webhook_id, if_version)
            await connection.execute(SQL["delete_webhook"], access.tenant_id, webhook_id)

        deleted = f"DELETE {DELETE_ROWS}"
        while await self._database.transaction(delete_rows, caller=caller) == deleted:
            pass
        await self._database.transaction(work, caller=caller)

    async def rotate_secret(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[NewSecret] | None = None
    ) -> NewSecret:
        async def work(connection: Connection) -> NewSecret:
            access = await _enter(connection, caller, webhook_id)
            stored = await _lock(connection, access, webhook_id, None)
            secret, public = key_pair(stored.signature)
            key = access.tenant_id, webhook_id
            await connection.execute(SQL["expire_secrets"], *key, OLD_SECRET_HOURS)
            await connection.execute(SQL["add_secret"], *key, secret, public)
            await connection.execute(SQL["forget_secrets"], *key, MAX_SECRETS)
            await connection.execute(SQL["note_rotation"], *key)
            webhook = await _fetch(connection, access, webhook_id)
            return NewSecret(webhook, None if public else secret)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def deliveries(
        self,
        caller: Caller,
        webhook_id: int,
        conditions: DeliveryFilter,
        before: int,
        limit: int,
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await _enter(connection, caller, webhook_id)
            rows = await connection.fetch(
                SQL["deliveries"],
                access.tenant_id,
                webhook_id,
                _below(before, conditions),
                *conditions,
                lowest_event_id(conditions.start, -ID_MARGIN_S) if conditions.start else 0,
                limit + 1,
            )
            deliveries = await _with_attempts(connection, access, webhook_id, rows)
            return ListPage.of(deliveries, limit, "event_id")

        return await self._read(caller, work)

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            access = await _enter(connection, caller, webhook_id)
            return await _delivery(connection, access, webhook_id, event_id)

        return await self._read(caller, work)

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            access = await _enter(connection, caller, webhook_id)
            require_enabled(await _fetch(connection, access, webhook_id))
            key = access.tenant_id, webhook_id, validate_id(event_id, "delivery")
            await connection.execute(SQL["replay"], *key)
            return await _delivery(connection, access, webhook_id, event_id)

        return await self._database.transaction(work, caller=caller)

    async def replay_since(
        self,
        caller: Caller,
        webhook_id: int,
        since: datetime,
        failed_only: bool,
        dry_run: bool = False,
    ) -> ReplayResult:
        async def work(connection: Connection) -> ReplayResult:
            access = await _enter(connection, caller, webhook_id)
            if not dry_run:
                require_enabled(await _fetch(connection, access, webhook_id))
            row = await connection.fetchrow(
                SQL["replay_since"],
                access.tenant_id,
                webhook_id,
                since,
                failed_only,
                REPLAYED_AT_ONCE,
                dry_run,
            )
            assert row is not None
            more = row["count"] == REPLAYED_AT_ONCE
            return ReplayResult(row["count"], row["last"] if more else None)

        return await self._database.transaction(work, caller=caller)

    async def summary(self, caller: Caller, webhook_id: int, days: int) -> WebhookSummary:
        async def work(connection: Connection) -> WebhookSummary:
            access = await _enter(connection, caller, webhook_id)
            return await read_summary(connection, access.tenant_id, webhook_id, days)

        return await self._read(caller, work)

    async def send_test(
        self, caller: Caller, webhook_id: int, once: IdempotentRequest[Delivery] | None = None
    ) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            access = await _enter(connection, caller, webhook_id)
            require_enabled(await _fetch(connection, access, webhook_id))
            data = EndpointTest(
                profile_id=str(access.profile_id), webhook_id=str(webhook_id), message=TEST_MESSAGE
            )
            event_id = await connection.fetchval(
                SQL["make_test"],
                access.tenant_id,
                access.profile_id,
                webhook_id,
                msgspec.json.encode(data).decode(),
            )
            await connection.execute(SQL["make_delivery"], access.tenant_id, webhook_id, event_id)
            return await _delivery(connection, access, webhook_id, event_id)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def key_pair(signature: str) -> tuple[str, str | None]:
    """Return a new secret, and its public key for signature v1a (else None)."""
    random = secrets.token_bytes(SECRET_BYTES)
    return new_key_pair(random) if signature == "v1a" else (new_secret(random), None)


def differs(stored: Webhook, draft: WebhookDraft) -> bool:
    """Return whether the draft would change the stored webhook."""
    return _columns(draft) != (
        stored.url,
        stored.description,
        list(stored.event_types),
        stored.ordered,
        stored.max_concurrency,
        stored.max_rate,
        stored.enabled,
    )


def webhook_limit_error() -> ConflictError:
    return ConflictError("webhooks", f"the profile has {MAX_WEBHOOKS}; delete one first")


def require_enabled(webhook: Webhook) -> None:
    """Raise ConflictError for a disabled webhook."""
    if not webhook.enabled:
        raise ConflictError("enabled", "the webhook is disabled; enable it first")


def delivery_not_found() -> NotFoundError:
    return NotFoundError.of("delivery")


async def _enter(connection: Connection, caller: Caller, webhook_id: int) -> ProfileAccess:
    row = await connection.fetchrow(SQL["enter_webhook"], validate_id(webhook_id, "webhook"))
    if row is None:
        raise NotFoundError.of("webhook")
    require(caller, row["role"], Action.MANAGE_WEBHOOKS)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def _fetch(connection: Connection, access: ProfileAccess, webhook_id: int) -> Webhook:
    row = await connection.fetchrow(SQL["webhook"], access.tenant_id, webhook_id)
    if row is None:
        raise NotFoundError.of("webhook")
    return _webhook(row)


async def _lock(
    connection: Connection, access: ProfileAccess, webhook_id: int, if_version: int | None
) -> Webhook:
    await connection.execute(SQL["lock_webhook"], access.tenant_id, webhook_id)
    # In its own statement, because it must see what was committed during the wait for the lock.
    stored = await _fetch(connection, access, webhook_id)
    require_version(stored.version, if_version)
    return stored


def _below(before: int, conditions: DeliveryFilter) -> int:
    """Return the id that all of a page's deliveries are below; `before` 0: the page is the first."""
    below = min(before, MAX_ID) if before else MAX_ID
    end = conditions.end
    return below if end is None else min(below, lowest_event_id(end, ID_MARGIN_S))


async def _delivery(
    connection: Connection, access: ProfileAccess, webhook_id: int, event_id: int
) -> Delivery:
    valid_id = validate_id(event_id, "delivery")
    rows = await connection.fetch(
        SQL["deliveries"],
        access.tenant_id,
        webhook_id,
        min(valid_id + 1, MAX_ID),
        *DeliveryFilter(),
        valid_id,
        1,
    )
    if not rows:
        raise delivery_not_found()
    return (await _with_attempts(connection, access, webhook_id, rows))[0]


async def _with_attempts(
    connection: Connection, access: ProfileAccess, webhook_id: int, rows: list[asyncpg.Record]
) -> list[Delivery]:
    ids = [row["event_id"] for row in rows]
    attempts: dict[int, list[RecordedAttempt]] = {id_: [] for id_ in ids}
    for event_id, *attempt in await connection.fetch(
        SQL["attempts"], access.tenant_id, webhook_id, ids, SHOWN_ATTEMPTS
    ):
        attempts[event_id].append(RecordedAttempt(*attempt))
    return [
        Delivery(
            **dict(row)
            | {
                "data": msgspec.json.decode(row["data"]),
                "recent_attempts": tuple(attempts[row["event_id"]]),
            }
        )
        for row in rows
    ]


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(**dict(row) | {"event_types": tuple(row["event_types"])})


def _columns(draft: WebhookDraft) -> tuple[Any, ...]:
    return (
        draft.url, draft.description, draft.event_types, draft.ordered, draft.max_concurrency,
        draft.max_rate, draft.enabled,
    )  # fmt: skip
