"""Webhooks in Postgres alone: concurrent deletes, the audit log, secrets."""

from functools import partial
from typing import Any

import asyncpg
import pytest
import trio

from engine.audit.audit_log import ActivityFilter
from engine.common.errors import NotFoundError
from engine.webhooks.delivery import AttemptResult
from engine.webhooks.events import EventDraft, LinkMilestone
from storage.audit.audit_log import PostgresActivityReader
from storage.postgres.database import Connection
from storage.webhooks.deliveries import PostgresDeliveryQueue
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened
from tests.kit.webhook_stores import OK, Hooks, as_owner, row_count

pytestmark = pytest.mark.trio(run=hosted_run)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_deletion_of_a_profile_is_delivered_before_its_webhooks_are_purged(
    hooks: Hooks, place: str
) -> None:
    await hooks.create()
    await hooks.profiles.delete_profile(hooks.caller, hooks.profile.id)
    await hooks.queue.purge()
    assert await hooks.queue.fan_out(10) == 1
    await hooks.queue.purge()
    (due,) = await hooks.claim()
    assert due.type == "profile.deleted"
    with pytest.raises(NotFoundError):
        await hooks.store.webhook(hooks.caller, due.webhook_id)
    await hooks.report([due], OK, None)
    await hooks.queue.purge()
    async with opened(place) as open_database:
        workers = await open_database("waypost_aggregator")
        assert await workers.transaction(lambda c: c.fetchval("SELECT count(*) FROM webhooks")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("with_profile", [False, True])
async def test_a_webhook_with_many_deliveries_is_deleted_in_short_statements(
    hooks: Hooks, place: str, with_profile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statement, and so no lock, takes as long as the whole deletion."""
    monkeypatch.setattr("storage.webhooks.webhooks.DELETE_ROWS", 500)
    monkeypatch.setattr("storage.webhooks.deliveries.PURGE_ROWS", 500)
    webhook = await hooks.create()
    for statement in (
        "INSERT INTO events (tenant_id, profile_id, pending, type, data) "
        "SELECT $1, $2, false, 'link.created', '{}' FROM generate_series(1, 50000) "
        "WHERE $3::bigint > 0",
        "INSERT INTO deliveries (tenant_id, webhook_id, event_id, state, attempts) "
        "SELECT $1, $3, id, 'delivered', 1 FROM events WHERE profile_id = $2",
        "INSERT INTO delivery_attempts (tenant_id, webhook_id, event_id, number, at, duration_ms) "
        "SELECT $1, $3, id, 1, now(), 5 FROM events WHERE profile_id = $2",
    ):
        await as_owner(place, statement, hooks.profile.tenant_id, hooks.profile.id, webhook.id)
    async with opened(place) as open_database:
        app = await open_database("waypost_app", query_timeout_ms=150)
        workers = await open_database("waypost_aggregator", query_timeout_ms=150)
        if with_profile:
            await hooks.profiles.delete_profile(hooks.caller, hooks.profile.id)
            await hooks.queue.fan_out(10)
            await hooks.report(await hooks.claim(), OK, None)
            await PostgresDeliveryQueue(workers).purge()
        else:
            await PostgresWebhookStore(app).delete_webhook(hooks.caller, webhook.id)
        for table in ("webhooks", "deliveries", "delivery_attempts"):
            assert await workers.transaction(partial(row_count, table)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_concurrent_fan_outs_make_one_delivery_of_each_event(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(0)
    data = LinkMilestone(profile_id=str(hooks.profile.id), link_id="5", clicks=1)
    draft = EventDraft(hooks.profile.tenant_id, hooks.profile.id, "link.milestone", data)
    await hooks.append([draft] * 60)
    fanned_out: list[int] = []

    async def work() -> None:
        while sum(fanned_out) < 60:
            fanned_out.append(await hooks.queue.fan_out(7))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(work)
    assert sum(fanned_out) == 60
    assert await hooks.states(webhook) == ["pending"] * 60


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("table", ["webhooks", "events"])
async def test_rows_deleted_during_a_fan_out_or_record_cause_no_error(
    hooks: Hooks, place: str, table: str
) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim()
    data = LinkMilestone(profile_id=str(hooks.profile.id), link_id="5", clicks=1)
    await hooks.append(
        [EventDraft(hooks.profile.tenant_id, hooks.profile.id, "link.milestone", data)]
    )
    begun = trio.Event()
    outcomes: list[Any] = []

    async def delete() -> None:
        async def slowly(connection: Connection) -> None:
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute("SELECT pg_sleep(0.3)")

        async with opened(place) as open_database:
            workers = await open_database("waypost_aggregator")
            begun.set()
            await workers.transaction(slowly)

    async def work() -> None:
        outcomes.append(await hooks.queue.fan_out(10))
        outcomes.append(await hooks.report(due, OK, None))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete)
        await begun.wait()
        await trio.sleep(0.1)
        await work()
    assert outcomes[0] in (0, 1)
    assert await hooks.claim() == []


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_audit_log_has_a_disabled_webhook(hooks: Hooks, place: str) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    await hooks.report(await hooks.claim(), AttemptResult(410), None)
    async with opened(place) as open_database:
        log = PostgresActivityReader(await open_database("waypost_app"))
        page = await log.of_profile(hooks.caller, hooks.profile.id, ActivityFilter(), 0, 1)
    (entry,) = page.items
    assert (entry.action, entry.object_id, entry.user_id) == ("webhook.updated", webhook.id, None)
    assert entry.before["enabled"] is True
    assert (entry.after["enabled"], entry.after["disabled_reason"]) == (
        False,
        "it answered 410 Gone",
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_console_cannot_read_secrets_and_the_audit_log_has_none(
    hooks: Hooks, place: str
) -> None:
    webhook = await hooks.create()
    await hooks.store.rotate_secret(hooks.caller, webhook.id)
    await hooks.queue.record("one", [])

    async def steal(connection: Connection) -> None:
        await connection.fetch("SELECT secret FROM webhook_secrets")

    async def log(connection: Connection) -> list[Any]:
        return await connection.fetch(
            "SELECT action, after::text FROM audit_log WHERE object_type = 'webhook' ORDER BY seq"
        )

    async with opened(place) as open_database:
        app = await open_database("waypost_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.transaction(steal, caller=hooks.caller)
        rows = await app.transaction(log, caller=hooks.caller)
        assert [row["action"] for row in rows] == ["webhook.created", "webhook.updated"]
        assert not any("whsec_" in row["after"] for row in rows)
