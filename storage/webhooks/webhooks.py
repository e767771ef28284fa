"""Webhooks in Postgres, as the console changes them.

Guarantees, on top of those of `engine.webhooks.ports.WebhookStore`:
- a secret is written and never read here: this role is not granted the column;
- of concurrent creates no more than MAX_WEBHOOKS succeed: each has a numbered slot, which is a key;
- a webhook of a million deliveries can be deleted, and nobody waits for it meanwhile: they go first, some at
  a time, as fan-outs and reports wait for whoever deletes a webhook;
- a replay and a test are deliveries like any other: a worker finds them within its polling interval.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller, require
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
from engine.webhooks.events import EndpointTest
from engine.webhooks.signature import SECRET_BYTES, new_key_pair, new_secret
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

SQL: Final = queries.load("webhooks/webhooks")
TEST_MESSAGE: Final = "A test, sent on request."
DELETED_AT_ONCE: Final = 5_000
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
            place = await enter_profile(connection, caller, profile_id, Action.MANAGE_WEBHOOKS)
            await connection.execute(SQL["lock_profile"], place.tenant_id, profile_id)
            webhook_id = await connection.fetchval(
                SQL["create_webhook"],
                place.tenant_id,
                profile_id,
                *_columns(draft),
                draft.signature,
            )
            if webhook_id is None:
                raise webhook_limit_error()
            await connection.execute(SQL["create_state"], place.tenant_id, webhook_id)
            await connection.execute(SQL["add_secret"], place.tenant_id, webhook_id, secret, public)
            webhook = await _fetch(connection, place, webhook_id)
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
            place = await enter_profile(connection, caller, profile_id, Action.MANAGE_WEBHOOKS)
            rows = await connection.fetch(
                SQL["list_webhooks"], place.tenant_id, profile_id, min(after, MAX_ID), limit + 1
            )
            found = [_webhook(row) for row in rows]
            return ListPage.of(found, limit)

        return await self._read(caller, work)

    async def update_webhook(
        self, caller: Caller, webhook_id: int, draft: WebhookDraft, if_version: int | None = None
    ) -> Webhook:
        async def work(connection: Connection) -> Webhook:
            place = await _enter(connection, caller, webhook_id)
            stored = await _lock(connection, place, webhook_id, if_version)
            if not differs(stored, draft):
                return stored
            await connection.execute(
                SQL["update_webhook"], place.tenant_id, webhook_id, *_columns(draft)
            )
            return await _fetch(connection, place, webhook_id)

        return await self._database.transaction(work, caller=caller)

    async def delete_webhook(
        self, caller: Caller, webhook_id: int, if_version: int | None = None
    ) -> None:
        async def some(connection: Connection) -> str:
            place = await _enter(connection, caller, webhook_id)
            await _lock(connection, place, webhook_id, if_version)
            which = place.tenant_id, webhook_id
            return await connection.execute(SQL["delete_deliveries"], *which, DELETED_AT_ONCE)

        async def work(connection: Connection) -> None:
            place = await _enter(connection, caller, webhook_id)
            await _lock(connection, place, webhook_id, if_version)
            await connection.execute(SQL["delete_webhook"], place.tenant_id, webhook_id)

        while await self._database.transaction(some, caller=caller) == f"DELETE {DELETED_AT_ONCE}":
            pass
        await self._database.transaction(work, caller=caller)

    async def rotate_secret(self, caller: Caller, webhook_id: int) -> NewSecret:
        async def work(connection: Connection) -> NewSecret:
            place = await _enter(connection, caller, webhook_id)
            stored = await _lock(connection, place, webhook_id, None)
            secret, public = key_pair(stored.signature)
            which = place.tenant_id, webhook_id
            await connection.execute(SQL["expire_secrets"], *which, OLD_SECRET_HOURS)
            await connection.execute(SQL["add_secret"], *which, secret, public)
            await connection.execute(SQL["forget_secrets"], *which, MAX_SECRETS)
            await connection.execute(SQL["note_rotation"], *which)
            webhook = await _fetch(connection, place, webhook_id)
            return NewSecret(webhook, None if public else secret)

        return await self._database.transaction(work, caller=caller)

    async def deliveries(
        self, caller: Caller, webhook_id: int, asked: DeliveryFilter, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            place = await _enter(connection, caller, webhook_id)
            below = min(before, MAX_ID) if before else MAX_ID
            rows = await connection.fetch(
                SQL["deliveries"], place.tenant_id, webhook_id, below, *asked, limit + 1
            )
            found = await _with_attempts(connection, place, webhook_id, rows)
            return ListPage.of(found, limit, "event_id")

        return await self._read(caller, work)

    async def delivery(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            place = await _enter(connection, caller, webhook_id)
            return await _delivery(connection, place, webhook_id, event_id)

        return await self._read(caller, work)

    async def replay(self, caller: Caller, webhook_id: int, event_id: int) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            place = await _enter(connection, caller, webhook_id)
            demand_enabled(await _fetch(connection, place, webhook_id))
            which = place.tenant_id, webhook_id, validate_id(event_id, "delivery")
            await connection.execute(SQL["replay"], *which)
            return await _delivery(connection, place, webhook_id, event_id)

        return await self._database.transaction(work, caller=caller)

    async def replay_since(
        self, caller: Caller, webhook_id: int, since: datetime, failed_only: bool
    ) -> ReplayResult:
        async def work(connection: Connection) -> ReplayResult:
            place = await _enter(connection, caller, webhook_id)
            demand_enabled(await _fetch(connection, place, webhook_id))
            row = await connection.fetchrow(
                SQL["replay_since"],
                place.tenant_id,
                webhook_id,
                since,
                failed_only,
                REPLAYED_AT_ONCE,
            )
            assert row is not None
            more = row["count"] == REPLAYED_AT_ONCE
            return ReplayResult(row["count"], row["last"] if more else None)

        return await self._database.transaction(work, caller=caller)

    async def send_test(self, caller: Caller, webhook_id: int) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            place = await _enter(connection, caller, webhook_id)
            demand_enabled(await _fetch(connection, place, webhook_id))
            data = EndpointTest(
                profile_id=str(place.profile_id), webhook_id=str(webhook_id), message=TEST_MESSAGE
            )
            event_id = await connection.fetchval(
                SQL["make_test"],
                place.tenant_id,
                place.profile_id,
                webhook_id,
                msgspec.json.encode(data).decode(),
            )
            await connection.execute(SQL["make_delivery"], place.tenant_id, webhook_id, event_id)
            return await _delivery(connection, place, webhook_id, event_id)

        return await self._database.transaction(work, caller=caller)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def key_pair(signature: str) -> tuple[str, str | None]:
    """A new secret, and for v1a its public key."""
    random = secrets.token_bytes(SECRET_BYTES)
    return new_key_pair(random) if signature == "v1a" else (new_secret(random), None)


def differs(stored: Webhook, draft: WebhookDraft) -> bool:
    """Whether the draft asks for something else than is stored."""
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


def demand_enabled(webhook: Webhook) -> None:
    """Raises ConflictError for one that nothing is sent to."""
    if not webhook.enabled:
        raise ConflictError("enabled", "the webhook is disabled; enable it first")


def unknown_delivery() -> NotFoundError:
    return NotFoundError.of("delivery")


async def _enter(connection: Connection, caller: Caller, webhook_id: int) -> ProfileAccess:
    row = await connection.fetchrow(SQL["enter_webhook"], validate_id(webhook_id, "webhook"))
    if row is None:
        raise NotFoundError.of("webhook")
    require(caller, row["role"], Action.MANAGE_WEBHOOKS)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def _fetch(connection: Connection, place: ProfileAccess, webhook_id: int) -> Webhook:
    row = await connection.fetchrow(SQL["webhook"], place.tenant_id, webhook_id)
    if row is None:
        raise NotFoundError.of("webhook")
    return _webhook(row)


async def _lock(
    connection: Connection, place: ProfileAccess, webhook_id: int, if_version: int | None
) -> Webhook:
    await connection.execute(SQL["lock_webhook"], place.tenant_id, webhook_id)
    # A statement of its own: it sees what was committed while this one waited for the lock.
    stored = await _fetch(connection, place, webhook_id)
    require_version(stored.version, if_version)
    return stored


async def _delivery(
    connection: Connection, place: ProfileAccess, webhook_id: int, event_id: int
) -> Delivery:
    known = validate_id(event_id, "delivery")
    rows = await connection.fetch(
        SQL["deliveries"], place.tenant_id, webhook_id, min(known + 1, MAX_ID), None, None, 1
    )
    if not rows or rows[0]["event_id"] != event_id:
        raise unknown_delivery()
    return (await _with_attempts(connection, place, webhook_id, rows))[0]


async def _with_attempts(
    connection: Connection, place: ProfileAccess, webhook_id: int, rows: list[asyncpg.Record]
) -> list[Delivery]:
    ids = [row["event_id"] for row in rows]
    made: dict[int, list[RecordedAttempt]] = {id_: [] for id_ in ids}
    for event_id, *attempt in await connection.fetch(
        SQL["attempts"], place.tenant_id, webhook_id, ids, SHOWN_ATTEMPTS
    ):
        made[event_id].append(RecordedAttempt(*attempt))
    return [
        Delivery(
            **dict(row)
            | {"data": msgspec.json.decode(row["data"]), "made": tuple(made[row["event_id"]])}
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
