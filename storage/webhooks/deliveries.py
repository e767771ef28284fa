"""Deliveries in Postgres, as couriers work on them.

Guarantees:
- an event becomes one delivery a webhook, in one transaction with its mark: never none, never two;
- a webhook is one courier's at a time. What is reported counts only while the lease's token is the one
  that was claimed under, so a courier that was stopped and goes on later changes nothing any more;
- a delivery is pending until an attempt of it is recorded as its last: a crash at any moment leaves it to
  be claimed again, by a successor of the same name at once, by others when the lease expires;
- only the database's clock decides what is due and whose a webhook is.
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
PURGED_AT_ONCE: Final = 2_000


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
        each: int,
        in_flight: Sequence[InFlightDelivery],
        resting: Sequence[tuple[int, int]],
    ) -> list[DueDelivery]:
        tenants, webhooks, events = _columns(in_flight, 3)

        async def work(connection: Connection) -> list[DueDelivery]:
            if in_flight:
                await connection.execute(_SQL["renew"], owner, ttl_s, tenants, webhooks)
            await connection.execute(_SQL["acquire_leases"], owner, ttl_s, limit)
            rows = await connection.fetch(
                _SQL["claim"], owner, limit, each, tenants, webhooks, events, *_columns(resting, 2)
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
            held = {tuple(row) for row in rows}
            good = [a for a in attempts if (a.due.tenant_id, a.due.webhook_id, a.due.token) in held]
            if good:
                rows = await connection.fetch(
                    _SQL["record_results"], *_columns(map(_settled, good), 7)
                )
                there = {tuple(row) for row in rows}
                noted = [_noted(a) for a in good if _noted(a)[:3] in there]
                await connection.execute(_SQL["note_attempts"], *_columns(noted, 9))
            return RecordOutcome(
                len(attempts) - len(good), await _note_endpoint_health(connection, good)
            )

        return await self._database.transaction(work)

    async def release(self, owner: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["release"], owner)

        await self._database.transaction(work)

    async def purge(self) -> None:
        async def events(connection: Connection) -> str:
            return await connection.execute(_SQL["purge_events"], RETENTION_DAYS, PURGED_AT_ONCE)

        async def deliveries(connection: Connection) -> str:
            return await connection.execute(_SQL["purge_deliveries"], PURGED_AT_ONCE)

        async def others(connection: Connection) -> None:
            await connection.execute(_SQL["purge_webhooks"])
            await connection.execute(_SQL["purge_secrets"])

        for some in (events, deliveries):
            while await self._database.transaction(some) == f"DELETE {PURGED_AT_ONCE}":
                pass
        await self._database.transaction(others)


async def _note_endpoint_health(connection: Connection, attempts: Sequence[Attempt]) -> int:
    """Note what works and what does not, and disable what has not for too long; how many."""
    health: dict[tuple[int, int], bool] = {}
    for attempt in attempts:
        key = attempt.due.tenant_id, attempt.due.webhook_id
        health[key] = health.get(key, False) or attempt.result.delivered
    # What is gone is a URL: the webhook may have another one by now.
    gone = {(a.due.tenant_id, a.due.webhook_id, a.due.url) for a in attempts if a.gone}
    if not health:
        return 0
    webhooks = sorted(health)
    which = _columns(webhooks, 2)
    await connection.execute(_SQL["note_health"], *which, [health[webhook] for webhook in webhooks])
    if all(health.values()) and not gone:
        return 0
    disabled = await connection.fetch(
        _SQL["disable"], *which, *_columns(sorted(gone), 3), DISABLED_AFTER_S
    )
    await append_to_outbox(connection, [_told(*row) for row in disabled])
    return len(disabled)


def _told(tenant_id: int, profile_id: int, webhook_id: int, url: str, reason: str) -> EventDraft:
    data = EndpointDisabled(
        profile_id=str(profile_id), webhook_id=str(webhook_id), url=url, reason=reason
    )
    return EventDraft(tenant_id, profile_id, "endpoint.disabled", data)


def _noted(attempt: Attempt) -> tuple[object, ...]:
    due, answer = attempt.due, attempt.result
    return (
        due.tenant_id, due.webhook_id, due.event_id, due.number, attempt.at, attempt.duration_ms,
        answer.status, answer.error[:500] or None, answer.response or None,
    )  # fmt: skip


def _settled(attempt: Attempt) -> tuple[object, ...]:
    due = attempt.due
    return (
        due.tenant_id, due.webhook_id, due.event_id, due.number, attempt.state, due.tries + 1,
        attempt.delay_s,
    )  # fmt: skip


def _columns(
    rows: "Sequence[tuple[object, ...]] | map[tuple[object, ...]]", width: int
) -> list[list[object]]:
    """Rows as one list for each column."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _data(text: str) -> dict[str, object]:
    return msgspec.json.decode(text, type=dict[str, object])
