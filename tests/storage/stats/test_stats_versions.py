"""Stats versions: a profile's own folds change its version; folds of others and settling do not."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from engine.clicks.click import Click, VisitorClass
from engine.stats.ledger_ports import ClickLedger
from engine.stats.ports import ProfileKey
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.postgres.database import Database
from storage.stats import settling
from storage.stats.memory_click_tables import MemoryClickTables
from storage.stats.memory_stats import MemoryStatsReader
from storage.stats.reader import PostgresStatsReader
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stats_database import days_with_deltas
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

QUIET, BUSY, OTHERS = ProfileKey(1, 2), ProfileKey(1, 3), ProfileKey(9, 4)
PROFILES = [QUIET, BUSY, OTHERS]


class Counted(NamedTuple):
    ledger: ClickLedger
    reader: PostgresStatsReader | MemoryStatsReader
    aggregator: Database | None

    async def fold(self, *clicks: Click) -> None:
        await self.ledger.register(journal := uuid4())
        (lease,) = [
            lease
            for lease in await self.ledger.lease(str(uuid4()), 9, 60)
            if lease.journal_id == journal
        ]
        await self.ledger.commit(lease, [batch(1, list(clicks))])

    async def changed(self, before: dict[ProfileKey, str]) -> set[ProfileKey]:
        after = await self.reader.versions(PROFILES)
        return {profile for profile in PROFILES if after[profile] != before[profile]}


@pytest.fixture(params=["memory", "postgres"])
async def counted(
    request: pytest.FixtureRequest, open_database: OpenDatabase
) -> AsyncIterator[Counted]:
    if request.param == "memory":
        counts = MemoryClickTables()
        yield Counted(MemoryClickLedger(counts, lambda: 1e9), MemoryStatsReader(counts), None)
        return
    aggregator = await open_database("waypost_aggregator")
    reader = PostgresStatsReader(await open_database("waypost_app"))
    yield Counted(PostgresClickLedger(aggregator), reader, aggregator)


def of(profile: ProfileKey, visitor_class: VisitorClass = VisitorClass.HUMAN) -> Click:
    return click(tenant_id=profile.tenant_id, profile_id=profile.profile_id, verdict=visitor_class)


async def test_a_fold_changes_the_versions_of_its_profiles_only(counted: Counted) -> None:
    versions = await counted.reader.versions(PROFILES)
    await counted.fold(of(BUSY))
    assert await counted.changed(versions) == {BUSY}
    versions = await counted.reader.versions(PROFILES)
    await counted.fold(of(BUSY, VisitorClass.BOT), of(OTHERS))
    assert await counted.changed(versions) == {BUSY, OTHERS}


@pytest.mark.parametrize("counted", ["postgres"], indirect=True)
async def test_a_fold_is_seen_though_it_is_settled_at_once(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged, packed, or counted in the tables of a hot day: the version is another one, and then stays."""
    assert counted.aggregator is not None
    for hot_clicks in (2_000, 2_000, 0, 0):
        versions = await counted.reader.versions(PROFILES)
        await counted.fold(of(BUSY), of(BUSY))
        monkeypatch.setattr(settling, "HOT_CLICKS", hot_clicks)
        monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
        await settle(counted.aggregator, await days_with_deltas(counted.aggregator), pack_few=True)
        assert await counted.changed(versions) == {BUSY}
    versions = await counted.reader.versions(PROFILES)
    await settle(counted.aggregator, await days_with_deltas(counted.aggregator), pack_few=True)
    assert await counted.changed(versions) == set()
