"""Fixtures of the tests of settling, compaction and rebuilding."""

from collections.abc import AsyncIterator

import pytest

from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.stats import segments, settling
from storage.stats.reader import PostgresStatsReader
from tests.kit.daily_counts import TODAY, DailyCounts, make_profile
from tests.kit.random_questions import Counting
from tests.kit.stats_database import add_profile


@pytest.fixture(autouse=True)
def _sums_of_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SUMMED_FROM", 1)


@pytest.fixture
async def daily(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DailyCounts]:
    """Yield a profile whose days are all hot, as the tables of such days are compacted and rebuilt."""
    monkeypatch.setattr(settling, "HOT_CLICKS", 0)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 0)
    TODAY.begin()
    await in_asyncio(make_profile, database_url)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=4, query_timeout_ms=10_000
    )
    yield DailyCounts(database)
    await database.close()


@pytest.fixture
async def counting(database_url: str) -> AsyncIterator[Counting]:
    await in_asyncio(add_profile, database_url)
    aggregator = await Database.open(
        database_url, role="waypost_aggregator", size=2, query_timeout_ms=5_000
    )
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=5_000)
    yield Counting(PostgresClickLedger(aggregator), aggregator, PostgresStatsReader(app), [])
    await aggregator.close()
    await app.close()
