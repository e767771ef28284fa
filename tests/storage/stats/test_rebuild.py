"""Rebuilding and reclassifying of days from raw clicks."""

import random
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from engine.clicks.click import (
    RULES_VERSION_SHIFT,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.rollup import TIME_BUCKET_US
from engine.stats.ports import ProfileKey
from engine.visits.classifier import RULES_VERSION
from storage.stats import settling
from storage.stats.compaction import compact
from storage.stats.months import pack_months
from storage.stats.reader import PostgresStatsReader
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import settle
from tests.kit.daily_counts import (
    AGENTS,
    CRAWLER,
    DAY_US,
    PROFILE,
    TENANT,
    TODAY,
    DailyCounts,
    clicks,
    days_of,
)
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

HINTED = (
    b"Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36 Sec-CH-UA (Brave; Android; Mobile)"
)


TABLES = {
    "hot": (
        "dimension_days",
        "dimension_months",
        "dimension_quarters",
        "rollups",
        "click_segments",
    ),
    "packed": ("click_segments", "click_deltas"),
    "month": ("click_segments", "click_deltas"),
}


class CountedDays(NamedTuple):
    """A profile's counts, and how its days are kept: hot and compacted, packed, or packed as months."""

    counts: DailyCounts
    kept: str

    async def keep(self) -> None:
        """Bring all deltas to where they are kept for years."""
        database = self.counts.database
        if self.kept == "month":
            await pack_months(database, TODAY.date + timedelta(days=31), lambda done: None)
        else:
            await settle(database, days_of(8), pack_few=True)
        if self.kept == "hot":
            await compact(database, lambda done, of: None)
        stored = await self.counts.read()
        assert bool(stored.sums) == (self.kept == "hot")
        days = await self.fetch("SELECT DISTINCT days FROM click_segments")
        assert any(count > 1 for (count,) in days) == (self.kept == "month")

    async def fetch(self, statement: str) -> list[Any]:
        return await self.counts.database.transaction(
            lambda connection: connection.fetch(statement)
        )


@pytest.fixture(params=TABLES)
def days(
    request: pytest.FixtureRequest, daily: DailyCounts, monkeypatch: pytest.MonkeyPatch
) -> CountedDays:
    if request.param != "hot":
        monkeypatch.setattr(settling, "HOT_CLICKS", 2_000)
        monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    return CountedDays(daily, request.param)


async def test_a_rebuild_restores_deleted_counts(
    days: CountedDays, open_database: OpenDatabase
) -> None:
    daily = days.counts
    await daily.commit(clicks(random.Random(7), 60))
    await days.keep()
    right = await daily.check()
    for table in TABLES[days.kept]:
        await days.fetch(f"DELETE FROM {table}")
    rebuild = DayRebuild(daily.database)
    profile = ProfileKey(TENANT, PROFILE)
    reader = PostgresStatsReader(await open_database("waypost_app"))
    version = await reader.versions([profile])
    for day in days_of():
        await rebuild.rebuild(day)
    assert await reader.versions([profile]) != version  # polls get new counts
    await daily.check()
    await days.keep()
    assert (await daily.check()).days == right.days
    assert await rebuild.profiles(days_of()[1].day, "ada") == days_of()[1:2]


async def test_a_rebuild_replaces_the_counts_of_its_day_only(days: CountedDays) -> None:
    daily, chance = days.counts, random.Random(8)
    rebuild = DayRebuild(daily.database)
    for _ in range(2):
        await daily.commit(clicks(chance, 60))
        await days.keep()
        await daily.commit(clicks(chance, 5))
        for day in days_of():
            await rebuild.rebuild(day)
            await daily.check()


async def test_a_rebuild_keeps_clicks_in_their_quarter_of_an_hour(days: CountedDays) -> None:
    """Those of its last half second too, and of that of the day."""
    daily = days.counts
    ends = [TODAY.midnight_us - DAY_US + n * TIME_BUCKET_US for n in (1, 50, 96)]
    daily_clicks = clicks(random.Random(9), len(ends))
    await daily.commit(
        [one._replace(at_us=end - 200_000) for one, end in zip(daily_clicks, ends, strict=True)]
    )
    await daily.settle()
    await DayRebuild(daily.database).rebuild(days_of()[1])
    await daily.check()


async def test_reclassified_clicks_are_counted_again(days: CountedDays) -> None:
    daily = days.counts
    old = [
        Click(
            ClickKind.CLICK, visitor_class, TODAY.midnight_us - DAY_US // 2, TENANT, PROFILE, 7, agent,
            b"https://www.instagram.com/", b"de-AT", b"visitor1",
        )
        for visitor_class, agent in [
            (VisitorClass.UNCLASSIFIED, CRAWLER), (VisitorClass.HUMAN, CRAWLER),
            (VisitorClass.BOT, AGENTS[2]), (VisitorClass.PREFETCH, AGENTS[2]),
            (VisitorClass.HEAD, AGENTS[2]), (VisitorClass.UNCLASSIFIED, b""),
            (VisitorClass.TOOL, b"VLC/3.0.20 LibVLC/3.0.20"), (VisitorClass.TOOL, b"kube-probe/1.29"),
            (VisitorClass.TOOL, HINTED), (VisitorClass.HUMAN, b"(other)"), (VisitorClass.BOT, b"(other)"),
        ]
    ]  # fmt: skip
    new = [
        click._replace(classification=visitor_class | RULES_VERSION << RULES_VERSION_SHIFT)
        for click, visitor_class in zip(
            old,
            [
                VisitorClass.BOT,
                VisitorClass.BOT,
                VisitorClass.HUMAN,
                VisitorClass.PREFETCH,
                VisitorClass.HEAD,
                VisitorClass.TOOL,
                VisitorClass.APP,
                VisitorClass.MONITOR,
                VisitorClass.HUMAN,
                VisitorClass.HUMAN,
                VisitorClass.BOT,
            ],
            strict=True,
        )
    ]
    await daily.commit(old[:3])
    await daily.commit(old[3:])
    await days.keep()
    await days.fetch("UPDATE clicks SET browser = 'Netscape', source = 'AOL'")
    rebuild, yesterday = DayRebuild(daily.database), days_of()[1]
    assert await rebuild.reclassify(yesterday) == len(old)
    daily.committed = new
    await daily.check()
    texts = await days.fetch(
        "SELECT DISTINCT browser, os, device FROM clicks WHERE user_agent_id IN "
        "(SELECT id FROM user_agents WHERE text LIKE '% Sec-CH-UA (Brave; Android; Mobile)')"
    )
    assert [tuple(row) for row in texts] == [("Brave", "Android", "phone")]
    assert await rebuild.reclassify(yesterday) == 0
    assert await rebuild.reclassify(yesterday, everything=True) == len(old)
    await daily.check()
    # A click that is not settled is classified again like any other.
    late = old[0]._replace(user_agent=CRAWLER, classification=VisitorClass.HUMAN)
    await daily.commit([late])
    await daily.check()
    assert await rebuild.reclassify(yesterday) == 1
    daily.committed[-1] = late._replace(
        classification=VisitorClass.BOT | RULES_VERSION << RULES_VERSION_SHIFT
    )
    await daily.check()
    await daily.commit(new[:1])
    await days.keep()
    await daily.check()
