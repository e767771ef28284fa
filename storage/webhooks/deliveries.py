"""Deliveries in Postgres, for couriers.

Guarantees:
- an event becomes exactly one delivery per webhook, in the transaction that marks the event as fanned out;
- one courier at a time leases a webhook. Results count only under the fencing token of the claim, so a courier
  that was stopped and continues after its lease ended changes nothing;
- a delivery is pending until its last attempt is recorded. After a crash at any moment it is claimed again: at
  once by a courier of the same name, by another courier when the lease expires;
- only the database's clock decides which deliveries are due and which leases hold.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.webhooks.delivery import (
    DISABLED_AFTER_S,
    RETENTION_DAYS,
    Attempt,
    DueDelivery,
    RecordOutcome,
)
from engine.webhooks.events import EndpointDisabled, EventDraft
from engine.webhooks.ports import InFlightDelivery
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.webhooks.outbox import append_to_outbox

_SQL: Final = queries.load("webhooks/deliveries")
PURGE_ROWS: Final = 2_000


class PostgresDeliveryQueue:
    """DeliveryQueue over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "webhooks.purge",
                Every(HOUR, 20 * MINUTE),
                f"delete events and deliveries after {RETENTION_DAYS} days",
                repeatable(self.purge),
            )
        ]

    async def fan_out(self, limit: int) -> int:
        async def work(connection: Connection) -> int:
            if not await connection.fetchval(_SQL["lock_fan_out"]):
                return 0
            return int(await connection.fetchval(_SQL["fan_out"], limit))

        return await self._database.transaction(work)

    async def claim(
        self,
        owner: str,
        ttl_s: float,
        limit: int,
        max_concurrency: int,
        in_flight: Sequence[InFlightDelivery],
        blocked: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        tenants, webhooks, events = _columns(in_flight, 3)

        async def work(connection: Connection) -> list[DueDelivery]:
            if in_flight:
                await connection.execute(_SQL["renew"], owner, ttl_s, tenants, webhooks)
            await connection.execute(_SQL["acquire_leases"], owner, ttl_s, limit)
            rows = await connection.fetch(
                _SQL["claim"],
                owner,
                limit,
                max_concurrency,
                tenants,
                webhooks,
                events,
                *_columns(blocked, 2),
            )
            return [
                DueDelivery(
                    **dict(row) | {"secrets": tuple(row["secrets"]), "data": _data(row["data"])}
                )
                for row in rows
            ]

        return await self._database.transaction(work)

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        if not attempts:
            return RecordOutcome()

        async def work(connection: Connection) -> RecordOutcome:
            leases = {(a.due.tenant_id, a.due.webhook_id, a.due.token) for a in attempts}
            rows = await connection.fetch(_SQL["lock_leased"], owner, *_columns(sorted(leases), 3))
            leases_held = {tuple(row) for row in rows}
            valid = [
                a
                for a in attempts
                if (a.due.tenant_id, a.due.webhook_id, a.due.token) in leases_held
            ]
            if valid:
                rows = await connection.fetch(
                    _SQL["record_results"], *_columns(map(_result_row, valid), 7)
                )
                recorded = {tuple(row) for row in rows}
                attempt_rows = [_attempt_row(a) for a in valid if _attempt_row(a)[:3] in recorded]
                await connection.execute(_SQL["note_attempts"], *_columns(attempt_rows, 9))
            return RecordOutcome(
                len(attempts) - len(valid), await _note_endpoint_health(connection, valid)
            )

        return await self._database.transaction(work)

    async def release(self, owner: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["release"], owner)

        await self._database.transaction(work)

    async def purge(self) -> None:
        async def events(connection: Connection) -> str:
            return await connection.execute(_SQL["purge_events"], RETENTION_DAYS, PURGE_ROWS)

        async def deliveries(connection: Connection) -> str:
            return await connection.execute(_SQL["purge_deliveries"], PURGE_ROWS)

        async def webhooks(connection: Connection) -> None:
            await connection.execute(_SQL["purge_webhooks"])
            await connection.execute(_SQL["purge_secrets"])

        for delete_rows in (events, deliveries):
            while await self._database.transaction(delete_rows) == f"DELETE {PURGE_ROWS}":
                pass
        await self._database.transaction(webhooks)


async def _note_endpoint_health(connection: Connection, attempts: Sequence[Attempt]) -> int:
    """Record which webhooks succeed, and disable those that are gone or fail too long. Returns their number."""
    health: dict[tuple[int, int], bool] = {}
    circuits: dict[tuple[int, int], tuple[int, float]] = {}
    for attempt in attempts:
        key = attempt.due.tenant_id, attempt.due.webhook_id
        health[key] = health.get(key, False) or attempt.result.delivered
        circuits[key] = attempt.failures, attempt.rest_s  # the last counts: they come as they ended
    # With the URL, because the webhook may have another one by now.
    gone = {(a.due.tenant_id, a.due.webhook_id, a.due.url) for a in attempts if a.gone}
    if not health:
        return 0
    webhooks = sorted(health)
    keys = _columns(webhooks, 2)
    good = [health[webhook] for webhook in webhooks]
    counted = _columns([circuits[webhook] for webhook in webhooks], 2)
    await connection.execute(_SQL["note_health"], *keys, good, *counted)
    if all(health.values()) and not gone:
        return 0
    disabled = await connection.fetch(
        _SQL["disable"], *keys, *_columns(sorted(gone), 3), DISABLED_AFTER_S
    )
    await append_to_outbox(connection, [_disabled_event(*row) for row in disabled])
    return len(disabled)


def _disabled_event(
    tenant_id: int, profile_id: int, webhook_id: int, url: str, reason: str
) -> EventDraft:
    data = EndpointDisabled(
        profile_id=str(profile_id), webhook_id=str(webhook_id), url=url, reason=reason
    )
    return EventDraft(tenant_id, profile_id, "endpoint.disabled", data)


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    due, result = attempt.due, attempt.result
    return (
        due.tenant_id, due.webhook_id, due.event_id, due.number, attempt.at, attempt.duration_ms,
        result.status, result.error[:500] or None, result.response or None,
    )  # fmt: skip


def _result_row(attempt: Attempt) -> tuple[object, ...]:
    due = attempt.due
    return (
        due.tenant_id, due.webhook_id, due.event_id, due.number, attempt.state, due.tries + 1,
        attempt.delay_s,
    )  # fmt: skip


def _columns(
    rows: "Sequence[tuple[object, ...]] | map[tuple[object, ...]]", width: int
) -> list[list[object]]:
    """Return rows as one list for each column."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _data(text: str) -> dict[str, object]:
    return msgspec.json.decode(text, type=dict[str, object])
