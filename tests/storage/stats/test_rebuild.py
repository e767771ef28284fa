"""Rebuilding and reclassifying of days from raw clicks."""

import random
from datetime import datetime

import pytest

from engine.clicks.click import (
    Click,
    ClickKind,
    VisitorClass,
)
from engine.visits.classifier import RULES_VERSION
from storage.stats.compaction import compact
from storage.stats.rebuild import DayRebuild
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

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_a_rebuild_restores_deleted_counts(daily: DailyCounts) -> None:
    await daily.add(clicks(random.Random(7), 60))
    await compact(daily.database, lambda done, of: None)
    right = await daily.check()
    for table in ("dimension_days", "dimension_months", "dimension_quarters", "rollups"):
        await daily.database.transaction(
            lambda connection, table=table: connection.execute(f"DELETE FROM {table}")  # type: ignore[misc]
        )
    rebuild = DayRebuild(daily.database)
    assert await rebuild.profiles(days_of()[1].day, "ada") == days_of()[1:2]
    counted_before = await dimension_counted_at(daily)
    for click in days_of():
        await rebuild.rebuild(click)
    assert await dimension_counted_at(daily) > counted_before  # so that polls get new counts
    await daily.check()
    await compact(daily.database, lambda done, of: None)
    assert (await daily.check()).days == right.days


async def dimension_counted_at(daily: DailyCounts) -> datetime:
    query = "SELECT max(dimension_counted_at) FROM journals"
    counted_at: datetime = await daily.database.transaction(
        lambda connection: connection.fetchval(query)
    )
    return counted_at


async def test_reclassified_clicks_are_counted_again(daily: DailyCounts) -> None:
    old = [
        Click(
            ClickKind.CLICK, visitor_class, TODAY.midnight_us - DAY_US // 2, TENANT, PROFILE, 7, agent,
            b"https://www.instagram.com/", b"de-AT", b"visitor1",
        )
        for visitor_class, agent in [
            (VisitorClass.UNCLASSIFIED, CRAWLER), (VisitorClass.HUMAN, CRAWLER),
            (VisitorClass.BOT, AGENTS[2]), (VisitorClass.PREFETCH, AGENTS[2]),
            (VisitorClass.HEAD, AGENTS[2]), (VisitorClass.UNCLASSIFIED, b""),
        ]
    ]  # fmt: skip
    new = [
        click._replace(classification=visitor_class | RULES_VERSION << 3)
        for click, visitor_class in zip(
            old,
            [
                VisitorClass.BOT,
                VisitorClass.BOT,
                VisitorClass.HUMAN,
                VisitorClass.PREFETCH,
                VisitorClass.HEAD,
                VisitorClass.TOOL,
            ],
            strict=True,
        )
    ]
    await daily.add(old)
    await compact(daily.database, lambda done, of: None)
    await daily.database.transaction(
        lambda connection: connection.execute(
            "UPDATE clicks SET browser = 'Netscape', source = 'AOL'"
        )
    )
    rebuild, yesterday = DayRebuild(daily.database), days_of()[1]
    assert await rebuild.reclassify(yesterday) == len(old)
    daily.committed, daily.dimension_counted = new, list(new)
    await daily.check()
    assert await rebuild.reclassify(yesterday) == 0
    assert await rebuild.reclassify(yesterday, everything=True) == len(old)
    await daily.check()
    late = [
        click._replace(user_agent=CRAWLER, classification=VisitorClass.HUMAN) for click in old[:1]
    ]
    await daily.commit(late)
    assert await rebuild.reclassify(yesterday) == 0, (
        "clicks that the dimension counter has not counted keep their class"
    )
    await daily.count_dimensions()
    await daily.check()
