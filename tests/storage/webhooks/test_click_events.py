"""Click events, written with their counts for the webhooks that subscribe to them."""

from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from engine.clicks.click import time_of
from engine.stats.ledger_ports import JournalLease
from engine.stats.profile_day import ProfileDay
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats import settling
from storage.webhooks import click_events
from storage.webhooks.link_totals import link_totals
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


class World:
    """Two profiles of tenant 1, and a ledger that folds their clicks. Its clock is `now_s`."""

    def __init__(self, workers: Database, url: str) -> None:
        self.workers = workers
        self.url = url
        self.now_s = 0.0
        self.ledger = PostgresClickLedger(workers, clock=lambda: self.now_s)
        self.lease: JournalLease | None = None
        self.sequence = 0

    async def count(self, *links: tuple[int, int], clicks: int = 1) -> None:
        """Fold `clicks` clicks of each (profile id, link id)."""
        if self.lease is None:
            await self.ledger.register(uuid4())
            (self.lease,) = await self.ledger.lease(uuid4().hex, 1, 60)
        records = [
            click(profile_id=profile_id, link_id=link_id)
            for profile_id, link_id in links
            for _ in range(clicks)
        ]
        self.lease = await self.ledger.commit(self.lease, [batch(self.sequence + 1, records)])
        self.sequence += len(records)

    async def subscribe(self, profile_id: int, *types: str) -> None:
        """Insert a webhook of the profile for these event types."""

        async def work() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute("SET search_path = waypost")
                await connection.execute(
                    "INSERT INTO tenants (id, name) VALUES (1, 'one') ON CONFLICT DO NOTHING"
                )
                await connection.execute(
                    "INSERT INTO webhooks (tenant_id, id, profile_id, url, event_types, slot) "
                    "VALUES (1, $1, $1, 'https://example.com/', $2, 1)",
                    profile_id,
                    types,
                )
            finally:
                await connection.close()

        await in_asyncio(work)

    async def events(self) -> list[tuple[str, Any]]:
        async def work(connection: Connection) -> list[Any]:
            return await connection.fetch("SELECT type, data FROM events ORDER BY id")

        rows = await self.workers.transaction(work)
        return [(row["type"], msgspec.json.decode(row["data"])) for row in rows]


@pytest.fixture
async def world(open_database: OpenDatabase, database_url: str) -> World:
    return World(await open_database("waypost_aggregator"), database_url)


async def test_one_event_has_all_clicks_of_a_profile_with_a_webhook_for_them(world: World) -> None:
    await world.subscribe(2, "link.clicked")
    await world.subscribe(3, "link.created", "*")
    await world.count((2, 5), (2, 6), (3, 7), (4, 8), clicks=3)
    assert await world.events() == [
        ("link.clicked", {"profile_id": "2", "links": [
            {"link_id": "5", "clicks": 3}, {"link_id": "6", "clicks": 3}]}),
    ]  # fmt: skip


async def test_a_milestone_is_written_once(world: World) -> None:
    await world.subscribe(2, "link.*")
    for _ in range(4):
        await world.count((2, 5), clicks=4)
    await world.count((2, 5), (2, 6), clicks=120)
    events = await world.events()
    assert [type_ for type_, _ in events] == ["link.milestone"] * 4
    assert [(data["link_id"], data["clicks"]) for _, data in events] == [
        ("5", 10), ("5", 100), ("6", 10), ("6", 100),
    ]  # fmt: skip


async def test_a_milestone_that_two_aggregators_reach_is_written_once(world: World) -> None:
    """Each of two aggregators counts less than a milestone; the sum passes it."""
    await world.subscribe(2, "link.milestone")
    other = World(world.workers, world.url)
    await world.count((2, 5), clicks=4)
    await other.count((2, 5), clicks=4)
    await world.count((2, 5), clicks=4)
    assert await world.events() == []
    world.now_s = 61
    await world.count((2, 5))
    other.now_s = 61
    await other.count((2, 5))
    assert [data["clicks"] for _, data in await world.events()] == [10]


async def test_a_total_is_whole_while_clicks_move_to_the_tables(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas become counts in tables between any two statements of the fold."""
    await world.subscribe(2, "link.milestone")
    await world.count((2, 5), clicks=6)
    day = ProfileDay(1, 2, time_of(click().at_us).date())
    other = World(world.workers, world.url)
    fetched = 0

    class Interrupted:
        """A connection after each statement of which the day's deltas are settled."""

        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        async def fetch(self, *of: Any) -> list[Any]:
            nonlocal fetched
            fetched += 1
            rows: list[Any] = await self._connection.fetch(*of)
            await world.workers.second_transaction(
                lambda connection: settling._settle(connection, [day], False)
            )
            return rows

    monkeypatch.setattr(settling, "HOT_CLICKS", 0)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 0)

    async def work(connection: Connection) -> dict[Any, int]:
        return await link_totals(Interrupted(connection), [(1, 2, 5)])  # type: ignore[arg-type]

    assert await world.workers.transaction(work) == {(1, 2, 5): 6}
    assert fetched == 1
    assert await world.workers.transaction(work) == {(1, 2, 5): 6}  # from the tables
    await other.count((2, 5), clicks=4)
    assert [data["clicks"] for _, data in await world.events()] == [10]


async def test_a_total_that_is_too_large_to_read_waits_and_misses_no_milestone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.count((2, 5), clicks=8)
    await world.subscribe(2, "link.milestone")
    await world.subscribe(3, "link.milestone")
    world.now_s = 6.0
    monkeypatch.setattr("storage.webhooks.link_totals.MAX_PACKED_CLICKS", 12)
    await world.count((2, 5), (3, 7), clicks=11)  # the other profile's total is read
    assert [data["link_id"] for _, data in await world.events()] == ["7"]
    assert world.ledger.samples()[0].value == 1
    monkeypatch.undo()
    world.now_s = 12.0
    await world.count((2, 5))
    assert [(data["link_id"], data["clicks"]) for _, data in await world.events()] == [
        ("7", 10), ("5", 10),
    ]  # fmt: skip


async def test_a_new_webhook_gets_click_events_after_some_seconds(world: World) -> None:
    await world.count((2, 5))
    await world.subscribe(2, "link.clicked")
    await world.count((2, 5))
    assert await world.events() == []
    world.now_s = 5.1
    await world.count((2, 5))
    assert len(await world.events()) == 1


async def test_no_event_is_lost_when_webhooks_could_not_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe(2, "link.clicked")
    with monkeypatch.context() as patch:
        broken = {"wanted": "SELECT $1::bigint[], $2::bigint[], 1 / 0"}
        patch.setattr(click_events, "_SQL", {**click_events._SQL, **broken})
        with pytest.raises(asyncpg.DivisionByZeroError):
            await world.count((2, 5))
    await world.count((2, 5))
    assert len(await world.events()) == 1


async def test_events_do_not_depend_on_how_many_profiles_are_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_events, "MAX_PROFILES", 2)
    await world.subscribe(2, "link.clicked")
    await world.count((2, 5))
    for _ in range(3):
        await world.count((2, 5), (3, 6), (4, 7), (5, 8))
    assert len(await world.events()) == 4


async def test_a_failed_commit_writes_no_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe(2, "link.clicked", "link.milestone")
    await world.count((2, 5), clicks=8)
    append = "storage.webhooks.click_events.append_to_outbox"

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(append, fail)
        with pytest.raises(ZeroDivisionError):
            await world.count((2, 5), clicks=8)
    assert len(await world.events()) == 1
    await world.count((2, 5), clicks=8)
    assert [type_ for type_, _ in await world.events()] == [
        "link.clicked", "link.clicked", "link.milestone",
    ]  # fmt: skip
