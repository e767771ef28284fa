"""Clicks of links and their last ones: exact wherever the clicks are counted."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.accounts.access import Caller
from engine.links.link_clicks import (
    ALL_TIME,
    ClickPeriod,
    ClicksOfLinks,
)
from storage.postgres.database import Connection, Database
from storage.stats import settling
from storage.stats.compaction import compact
from storage.stats.link_clicks import link_clicks
from storage.stats.months import pack_months
from storage.stats.settling import settle
from tests.kit.clicks_by_hand import by_hand
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import PROFILE, TENANT, Counting, some_clicks
from tests.kit.stats_database import days_with_deltas
from tests.kit.stores import opened

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]
NOW = datetime(2026, 5, 10, 9, 40, tzinfo=UTC)
FIRST = NOW - timedelta(days=20)


async def counted(app: Database, period: ClickPeriod, links: list[int] | None) -> ClicksOfLinks:
    async def work(connection: Connection) -> ClicksOfLinks:
        return await link_clicks(connection, TENANT, PROFILE, period, links)

    return await app.transaction(work, caller=Caller(TENANT, 1), read_only=True)


def _day(number: int) -> date:
    return FIRST.date() + timedelta(days=number)


@pytest.mark.parametrize(
    "seed", [1, *[pytest.param(n, marks=pytest.mark.large) for n in range(2, 30)]]
)
async def test_clicks_of_links_are_exact_while_deltas_are_settled(
    counting: Counting, database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(settling, "HOT_CLICKS", 40)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 30)
    today = {**settling._SQL, "today": f"SELECT date '{NOW:%Y-%m-%d}'"}
    monkeypatch.setattr(settling, "_SQL", today)
    async with opened(database_url) as open_database:
        app = await open_database("waypost_app", 1)
        for step in ("fold", "settle", "compact", "fold", "settle", "months", "compact", "fold"):
            match step:
                case "fold":
                    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", dice.choice([0, 150]))
                    await counting.fold(some_clicks(dice, 60, FIRST, 20))
                    day = FIRST + timedelta(days=dice.randrange(1, 21) - 0.1)
                    await counting.fold(some_clicks(dice, 50, day, 0.05))
                case "settle":
                    days = await days_with_deltas(counting.aggregator)
                    await settle(
                        counting.aggregator, dice.sample(days, len(days) // 2), pack_few=True
                    )
                case "compact":
                    await compact(counting.aggregator, lambda done, of: None)
                case "months":
                    await pack_months(counting.aggregator, NOW.date(), lambda done: None)
            for _ in range(3):
                first, last = sorted(dice.choices(range(21), k=2))
                some = ClickPeriod(_day(first), _day(last))
                period = dice.choice([some, ALL_TIME])
                links = dice.choice([None, [6], [5, 7, 99]])
                expected = by_hand(counting.clicks, period, links)
                assert await counted(app, period, links) == expected, (step, period, links)
