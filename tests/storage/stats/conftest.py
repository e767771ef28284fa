"""Fixtures of the tests of compaction and rebuilding."""

from collections.abc import AsyncIterator

import pytest

from storage.bridge import in_asyncio
from storage.postgres.database import Database
from storage.stats import settling
from tests.kit.daily_counts import TODAY, DailyCounts, make_profile


@pytest.fixture
async def daily(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DailyCounts]:
    """Yield a profile whose days are all hot, as the tables of such days are compacted and rebuilt."""
    monkeypatch.setattr(settling, "HOT_CLICKS", 0)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 0)
    TODAY.begin()
    await in_asyncio(make_profile, database_url)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=4, query_timeout_ms=10_000
    )
    yield DailyCounts(database)
    await database.close()
