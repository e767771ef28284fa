"""Fixtures of the tests of compaction and rebuilding."""

from collections.abc import AsyncIterator

import pytest

from storage.bridge import in_asyncio
from storage.postgres.database import Database
from tests.kit.daily_counts import TODAY, DailyCounts, make_profile


@pytest.fixture
async def daily(database_url: str) -> AsyncIterator[DailyCounts]:
    TODAY.begin()
    await in_asyncio(make_profile, database_url)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=4, query_timeout_ms=10_000
    )
    yield DailyCounts(database)
    await database.close()
