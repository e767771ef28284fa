"""Thin days: they stay packed, in few segments, and every answer stays exact, also without pseudonyms."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.clicks.click import Click
from engine.stats.profile_day import ProfileDay
from storage.bridge import in_asyncio
from storage.stats import settling
from storage.stats.daily import DailyAggregation
from storage.stats.settling import settle, settle_finished
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import PROFILE, TENANT, Counting, ask, some_clicks
from tests.kit.stats_database import keep_raw_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
TODAY = [ProfileDay(TENANT, PROFILE, NOW.date())]
DAY_BEFORE = NOW - timedelta(days=1)


@pytest.fixture(autouse=True)
def small_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "HOT_CLICKS", 40)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 30)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 600)


def spread(dice: random.Random, count: int, first: datetime) -> list[Click]:
    """Return clicks on 20 links over a day: no two of a row in a hot day's tables."""
    return [
        one._replace(link_id=dice.randrange(1, 20) if one.link_id else 0)
        for one in some_clicks(dice, count, first, 0.9)
    ]


async def segments(counting: Counting) -> list[tuple[int, bool]]:
    """Return (clicks, whether they are in tables as well) of each segment."""

    async def work(connection: Any) -> list[tuple[int, bool]]:
        rows = await connection.fetch(
            "SELECT clicks, in_tables FROM click_segments ORDER BY day, part"
        )
        return [tuple(row) for row in rows]

    return await counting.aggregator.transaction(work)


async def rows_in_tables(counting: Counting) -> int:
    query = "SELECT (SELECT count(*) FROM rollups) + (SELECT count(*) FROM dimension_counts)"
    return int(await counting.aggregator.transaction(lambda c: c.fetchval(query)))


async def test_a_thin_day_becomes_few_segments_and_one_when_it_is_over(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(1)
    monkeypatch.setattr(
        settling, "_SQL", {**settling._SQL, "today": f"SELECT date '{DAY_BEFORE:%Y-%m-%d}'"}
    )
    day = [ProfileDay(TENANT, PROFILE, DAY_BEFORE.date())]
    for _ in range(8):
        await counting.fold(spread(dice, 50, DAY_BEFORE))
        _, large = await settle(counting.aggregator, day)
        assert large == set(day)
    packed = await segments(counting)
    assert 1 < len(packed) <= 4
    assert not any(in_tables for _, in_tables in packed)
    assert await rows_in_tables(counting) == 0
    for _ in range(3):
        await ask(counting, dice, DAY_BEFORE, NOW, exact_visitors=True)
    monkeypatch.undo()
    assert await settle_finished(counting.aggregator, lambda done: None) == 1
    assert await segments(counting) == [(sum(clicks for clicks, _ in packed), False)]
    assert await settle_finished(counting.aggregator, lambda done: None) == 0


async def test_visitors_of_a_thin_day_stay_as_many_without_pseudonyms(
    counting: Counting, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(2)
    first = NOW - timedelta(days=9)
    monkeypatch.setattr(
        settling, "_SQL", {**settling._SQL, "today": f"SELECT date '{first:%Y-%m-%d}'"}
    )
    for count in (120, 50):
        await counting.fold(spread(dice, count, first))
        await settle(counting.aggregator, [ProfileDay(TENANT, PROFILE, first.date())])
    assert len(await segments(counting)) == 2
    monkeypatch.undo()
    await in_asyncio(keep_raw_clicks, database_url, 5)
    await DailyAggregation(counting.aggregator).run()
    query = "SELECT count(pseudonyms) FROM click_segments"
    assert await counting.aggregator.transaction(lambda c: c.fetchval(query)) == 0
    for _ in range(3):
        await ask(counting, dice, first, first + timedelta(days=1), exact_visitors=True)


async def test_a_profile_with_many_thin_days_has_hot_ones(counting: Counting) -> None:
    dice = random.Random(3)
    days = [NOW - timedelta(days=n) for n in (5, 4, 3)]
    for day in days:
        await counting.fold(spread(dice, 280, day))
        await settle(counting.aggregator, [ProfileDay(TENANT, PROFILE, day.date())])
    # The last one has the own events of the hot day, which are in no table.
    assert [in_tables for _, in_tables in await segments(counting)] == [False, False, True, False]
    for _ in range(3):
        await ask(counting, dice, days[0], NOW, exact_visitors=False)


async def test_a_day_whose_rows_count_many_clicks_each_is_hot(counting: Counting) -> None:
    clicks = [one._replace(link_id=5) for one in some_clicks(random.Random(4), 500, NOW, 0.0001)]
    await counting.fold(clicks)
    await settle(counting.aggregator, TODAY)
    assert [in_tables for _, in_tables in await segments(counting)] == [True, False]
    assert await rows_in_tables(counting) > 0
