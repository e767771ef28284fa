"""Events of clicks are written with their counts, for who wants to hear of them."""

from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from engine.stats.ledger_ports import JournalLease
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


class Place:
    """Two profiles of tenant 1, and a ledger that folds their clicks. Its clock is `now_s`."""

    def __init__(self, workers: Database, url: str) -> None:
        self.workers = workers
        self.url = url
        self.now_s = 0.0
        self.ledger = PostgresClickLedger(workers, clock=lambda: self.now_s)
        self.position: JournalLease | None = None
        self.sequence = 0

    async def count(self, *links: tuple[int, int], clicks: int = 1) -> None:
        """Fold clicks of (profile, link), as many of each."""
        if self.position is None:
            await self.ledger.register(uuid4())
            (self.position,) = await self.ledger.lease(uuid4().hex, 1, 60)
        made = [
            click(profile_id=profile_id, link_id=link_id)
            for profile_id, link_id in links
            for _ in range(clicks)
        ]
        self.position = await self.ledger.commit(self.position, [batch(self.sequence + 1, made)])
        self.sequence += len(made)

    async def listen(self, profile_id: int, *types: str) -> None:
        """A webhook of the profile that wants these."""

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
async def place(open_database: OpenDatabase, database_url: str) -> Place:
    return Place(await open_database("waypost_aggregator"), database_url)


async def test_clicks_are_told_together_to_who_asked_for_them(place: Place) -> None:
    await place.listen(2, "link.clicked")
    await place.listen(3, "link.created", "*")
    await place.count((2, 5), (2, 6), (3, 7), (4, 8), clicks=3)
    assert await place.events() == [
        ("link.clicked", {"profile_id": "2", "links": [
            {"link_id": "5", "clicks": 3}, {"link_id": "6", "clicks": 3}]}),
    ]  # fmt: skip


async def test_a_milestone_is_told_once(place: Place) -> None:
    await place.listen(2, "link.*")
    for _ in range(4):
        await place.count((2, 5), clicks=4)
    await place.count((2, 5), (2, 6), clicks=120)
    found = await place.events()
    assert [type_ for type_, _ in found] == ["link.milestone"] * 4
    assert [(data["link_id"], data["clicks"]) for _, data in found] == [
        ("5", 10), ("5", 100), ("6", 10), ("6", 100),
    ]  # fmt: skip


async def test_what_others_count_is_found_out(place: Place) -> None:
    """Two aggregators that each have seen less than a milestone pass it together."""
    await place.listen(2, "link.milestone")
    other = Place(place.workers, place.url)
    await place.count((2, 5), clicks=4)
    await other.count((2, 5), clicks=4)
    await place.count((2, 5), clicks=4)
    assert await place.events() == []
    place.now_s = 61
    await place.count((2, 5))
    other.now_s = 61
    await other.count((2, 5))
    assert [data["clicks"] for _, data in await place.events()] == [10]


async def test_a_new_webhook_hears_after_some_seconds(place: Place) -> None:
    await place.count((2, 5))
    await place.listen(2, "link.clicked")
    await place.count((2, 5))
    assert await place.events() == []
    place.now_s = 5.1
    await place.count((2, 5))
    assert len(await place.events()) == 1


async def test_a_commit_that_fails_tells_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.listen(2, "link.clicked", "link.milestone")
    await place.count((2, 5), clicks=8)
    emit = "storage.webhooks.click_events.append_to_outbox"

    async def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(emit, breaks)
        with pytest.raises(ZeroDivisionError):
            await place.count((2, 5), clicks=8)
    assert len(await place.events()) == 1
    await place.count((2, 5), clicks=8)
    assert [type_ for type_, _ in await place.events()] == [
        "link.clicked", "link.clicked", "link.milestone",
    ]  # fmt: skip
