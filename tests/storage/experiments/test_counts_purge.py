"""Purges of experiments' visitors: late enough to recognise them, and not a day later than promised."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storage.bridge import in_asyncio
from storage.experiments.conversions import PostgresConversionStore
from storage.experiments.counts import ExperimentCountsPurge
from tests.kit.hosted import hosted_run
from tests.kit.midnight import wait_past_midnight
from tests.kit.stores import OpenDatabase, postgres_experiments
from tests.kit.webhook_stores import as_owner
from tests.storage.experiments.test_conversions import Shop, click, conversion, report, us
from tests.storage.experiments.test_experiments import count, counts, started

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

DAY = timedelta(days=1)


async def values(url: str, query: str) -> list[Any]:
    """Return the first column of a query, run as the database's owner."""
    connection = await in_asyncio(asyncpg.connect, url)
    try:
        return [row[0] for row in await in_asyncio(connection.fetch, query)]
    finally:
        await in_asyncio(connection.close)


@pytest.fixture(autouse=True)
def within_a_day() -> None:
    wait_past_midnight()


def noon() -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


async def test_visitors_are_purged_two_days_after_their_day(
    database_url: str, open_database: OpenDatabase
) -> None:
    experiments = await postgres_experiments(open_database)
    running = await started(experiments)
    shown = [("show", n, 0, us(noon() - n * DAY)) for n in range(5)]
    before = await count(experiments, running, shown)
    purge = ExperimentCountsPurge(await open_database("waypost_aggregator"))
    assert await purge.purge() == 2
    days = await values(database_url, "SELECT day FROM waypost.experiment_visitors ORDER BY day")
    assert days == [(noon() - n * DAY).date() for n in (2, 1, 0)]
    assert await counts(experiments, running) == before
    assert await purge.purge() == 0


async def test_visitors_by_cookie_stay_until_31_days_after_the_experiments_end(
    database_url: str, open_database: OpenDatabase
) -> None:
    experiments = await postgres_experiments(open_database)
    running = await started(experiments, cookie=True)
    await count(experiments, running, [("show", 5, 0, us(noon() - 200 * DAY))], cookie=True)
    purge = ExperimentCountsPurge(await open_database("waypost_aggregator"))
    assert await purge.purge() == 0
    for ended_ago, purged in ((30 * DAY, 0), (31 * DAY - timedelta(hours=1), 0), (31 * DAY, 1)):
        await as_owner(
            database_url,
            "UPDATE experiments SET state = 'decided', winner = 0, ended_at = now() - $1::interval",
            ended_ago,
        )
        assert await purge.purge() == purged, ended_ago


async def test_conversions_forget_their_visitor_31_days_after_the_click(
    database_url: str, open_database: OpenDatabase
) -> None:
    experiments = await postgres_experiments(open_database)
    shop = Shop(PostgresConversionStore(await open_database("waypost_app")), experiments)
    running = await started(experiments, attribution_hours=30 * 24)
    now = datetime.now(UTC)
    ages = [timedelta(days=30, hours=23), timedelta(days=31, hours=1)]
    for visitor, age in enumerate(ages, 1):
        await report(shop, running, conversion(click(running, visitor, 0, now - age), now - age))
    await ExperimentCountsPurge(await open_database("waypost_aggregator")).purge()
    visitors = "SELECT visitor FROM waypost.conversions ORDER BY clicked_at DESC"
    assert await values(database_url, visitors) == [1, None]
