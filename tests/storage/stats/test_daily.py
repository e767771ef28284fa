"""The daily aggregation: after any order of folds, compactions and rebuilds, every sum is right."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import trio

from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
)
from engine.clicks.dimension import Dimension
from engine.clicks.rollup import TIME_BUCKET_US
from engine.stats.dimension_counts import count_by_dimension, dimension_values
from engine.stats.profile_day import ProfileDay
from engine.stats.query import StatsQuery
from storage.bridge import in_asyncio
from storage.postgres.database import Connection, Database
from storage.stats import compaction
from storage.stats.compaction import compact, compact_day
from storage.stats.daily import DailyAggregation
from storage.stats.reader import PostgresStatsReader
from storage.stats.rebuild import DayRebuild, RebuildError
from tests.kit.daily_counts import (
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


@pytest.mark.parametrize("seed", range(3))
async def test_no_step_changes_a_sum(
    daily: DailyCounts, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", chance.choice([20, 5000]))
    monkeypatch.setattr(compaction, "ROLLUPS_AT_ONCE", chance.choice([7, 5000]))
    rebuild = DayRebuild(daily.database)
    await daily.commit(clicks(chance, 30))
    for _ in range(7):
        match chance.choice(["commit", "settle", "compact", "compact", "rebuild"]):
            case "commit":
                await daily.commit(clicks(chance, 20))
            case "settle":
                await daily.settle()
            case "compact":
                await compact(daily.database, lambda done, of: None)
            case "rebuild":
                await rebuild.rebuild(chance.choice(days_of()))
        await daily.check()


async def test_a_compacted_day_has_the_counts_of_its_clicks(daily: DailyCounts) -> None:
    """Compare with columns made by plain loops, for each quarter of an hour."""
    chance = random.Random(5)
    progress: list[tuple[int, int]] = []
    await daily.add(clicks(chance, 120))
    assert await compact(daily.database, lambda done, of: progress.append((done, of))) == 3
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    await daily.add(clicks(chance, 40))
    await compact(daily.database, lambda done, of: None)
    tables = await daily.check()
    assert not [key for key in tables.days if key[3] == TODAY.date]
    visitors: dict[tuple[Any, ...], set[int]] = {}
    for key, sums in count_by_dimension(daily.committed).items():
        at = key.bucket_us % DAY_US // TIME_BUCKET_US
        day = datetime.fromtimestamp(key.bucket_us / 1e6, UTC).date()
        if day != TODAY.date and sums.visitors:
            visitors[key.link_id, key.dimension, key.value, day, at] = sums.visitors
    checked = 0
    for (
        _,
        _,
        link_id,
        dimension,
        day,
        value,
        at,
        _,
        _,
        _,
        alone,
        before,
        after,
        _,
    ) in tables.quarters:
        visitor_sets = [
            visitors.get((link_id, dimension, value, day, quarter), set()) for quarter in at
        ]
        assert alone == [len(visitor_set) for visitor_set in visitor_sets]
        assert before == [
            len(set().union(*visitor_sets[: n + 1])) for n in range(len(visitor_sets))
        ]
        assert after == [len(set().union(*visitor_sets[n:])) for n in range(len(visitor_sets))]
        checked += sum(map(len, visitor_sets))
    assert checked > 1000


ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Pacific/Kiritimati")


async def test_today_is_not_compacted(daily: DailyCounts) -> None:
    """Clicks of today are still coming."""
    click = clicks(random.Random(1), 1)[0]
    midnight = TODAY.midnight_us
    await daily.add([click._replace(at_us=midnight - 1), click._replace(at_us=midnight)])
    assert await compact(daily.database, lambda done, of: None) == 1
    buckets = "SELECT bucket FROM rollups UNION SELECT bucket FROM dimension_counts"
    live = await daily.database.transaction(lambda connection: connection.fetch(buckets))
    assert {row["bucket"].date() for row in live} == {TODAY.date}


async def test_days_of_any_zone_are_right_before_and_after_compaction(
    daily: DailyCounts, database_url: str
) -> None:
    """Read stats of live days, of partly compacted days, and with clicks that arrive late."""
    chance = random.Random(11)
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=10_000)
    reader = PostgresStatsReader(app)

    async def check() -> None:
        for tz in ZONES:
            for dimension in (None, Dimension.OS):
                await _compare(reader, daily.committed, tz, dimension)

    await daily.add(clicks(chance, 150))
    await check()
    for one in days_of()[:0:-1]:
        await compact_day(daily.database, one)
        await check()
    await daily.add(clicks(chance, 60))
    await check()
    await compact(daily.database, lambda done, of: None)
    await check()
    await app.close()


async def _compare(
    reader: PostgresStatsReader, counted: list[Click], tz: str, dimension: Dimension | None
) -> None:
    start = datetime.combine(TODAY.date - timedelta(days=5), datetime.min.time(), UTC)
    query = StatsQuery(
        start=start, end=start + timedelta(days=8), interval="day", tz=tz,
        groups=(dimension,) if dimension else (), metrics=("clicks", "views", "bots", "visitors"),
    )  # fmt: skip
    stats = await reader.stats(TENANT, PROFILE, query)
    rows = {
        (row.time.date() if row.time else None, *row.values): (row.clicks, row.views, row.bots)
        for row in stats.rows
        if row.clicks or row.views or row.bots
    }
    expected: dict[tuple[Any, ...], list[int]] = {}
    for click in counted:
        visitor_class = click.classification & CLASS_MASK
        if visitor_class not in BOT_CLASSES | COUNTED_CLASSES:
            continue
        day = datetime.fromtimestamp(click.at_us / 1e6, ZoneInfo(tz)).date()
        values = [value for of, value in dimension_values(click) if of == dimension]
        counts = expected.setdefault((day, *values), [0, 0, 0])
        counts[2 if visitor_class in BOT_CLASSES else click.kind != ClickKind.CLICK] += 1
    assert rows == {key: tuple(counts) for key, counts in expected.items()}, (tz, dimension)


async def test_a_crash_of_compaction_changes_no_sum(
    daily: DailyCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", 30)
    await daily.add(clicks(random.Random(1), 60))
    original, calls = compaction._store, 0

    async def put(connection: Connection, profile_day: ProfileDay, additions: Any) -> None:
        nonlocal calls
        calls += 1
        await original(connection, profile_day, additions)
        if calls % 3 == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(compaction, "_store", put)
    crashes = 0
    while True:
        try:
            await compact(daily.database, lambda done, of: None)
            break
        except RuntimeError:
            crashes += 1
            if crashes % 5 == 1:
                await daily.check()
    assert crashes > 5
    await daily.check()


async def test_finding_live_rows_may_take_longer_than_the_usual_timeout(
    daily: DailyCounts, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daily.add(clicks(random.Random(1), 20))
    slowly = (
        "WITH slowly AS MATERIALIZED (SELECT pg_sleep(0.7)) SELECT rows.* FROM slowly, ({}) AS rows"
    )
    looks = {name: slowly.format(compaction._SQL[name]) for name in ("profile_days", "groups")}
    monkeypatch.setattr(compaction, "_SQL", {**compaction._SQL, **looks})
    database = await Database.open(
        database_url, role="waypost_aggregator", size=1, query_timeout_ms=500
    )
    try:
        assert await compact(database, lambda done, of: None, TODAY.date - timedelta(days=2)) == 1
    finally:
        await database.close()
    await daily.check()


async def test_folds_go_on_while_a_day_is_compacted_and_rebuilt(daily: DailyCounts) -> None:
    """Fold, compact and rebuild today concurrently."""
    chance = random.Random(3)
    rebuild, rounds = DayRebuild(daily.database), 12
    await daily.add(clicks(chance, 30, 0))
    today = days_of(1)[0]

    done = False

    async def fold_on() -> None:
        nonlocal done
        for number in range(rounds):
            await daily.commit(clicks(chance, 10, 0))
            if number % 2:
                await daily.settle()
        done = True

    async def compact_on() -> None:
        while not done:
            await compact_day(daily.database, today)

    async def rebuild_on() -> None:
        while not done:
            await rebuild.rebuild(today)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fold_on)
        nursery.start_soon(compact_on)
        nursery.start_soon(rebuild_on)
    await daily.check()
    await daily.settle()
    await daily.check()


async def test_raw_clicks_are_deleted_after_their_retention(
    daily: DailyCounts, database_url: str
) -> None:
    """Two profiles keep raw clicks for 2 and 5 days; partitions of older days are dropped whole."""

    async def rows(profile_id: int) -> list[date]:
        query = (
            "SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM clicks WHERE profile_id = $1"
        )
        day_rows = await daily.database.transaction(
            lambda connection: connection.fetch(query, profile_id)
        )
        return sorted(row["day"] for row in day_rows)

    def before(*days: int) -> list[date]:
        return sorted(TODAY.date - timedelta(days=n) for n in days)

    partitions = "".join(
        f"SELECT waypost.make_click_partition(current_date - {n});" for n in range(3, 8)
    )
    setup = f"""SET search_path = waypost; SET session_replication_role = replica; SET timezone = 'UTC';
        SELECT ensure_click_partitions(1); SET ROLE waypost_owner; {partitions} RESET ROLE;
        UPDATE profiles SET raw_retention_days = 2;
        INSERT INTO profiles (tenant_id, id, handle, title, raw_retention_days, created_at)
        VALUES (1, 3, 'bob', 'Bob', 5, now() - interval '1 year')"""
    await in_asyncio(_execute, database_url, setup)
    click = clicks(random.Random(1), 1)[0]
    old = [
        click._replace(at_us=TODAY.midnight_us - n * DAY_US + 5, profile_id=profile_id)
        for n in range(10)
        for profile_id in (PROFILE, 3)
    ]
    await daily.add(old)
    assert await DailyAggregation(daily.database).delete_raw() == 2
    assert await rows(PROFILE) == before(0, 1, 2)
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)
    rebuild = DayRebuild(daily.database)
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    # A longer retention does not restore deleted clicks.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    await rebuild.rebuild(days_of()[2])
    # No profile kept these days, which is recorded once for all profiles.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 9")
    assert await DailyAggregation(daily.database).delete_raw() == 0
    for profile_id in (PROFILE, 3):
        with pytest.raises(RebuildError, match="kept from"):
            await rebuild.rebuild(ProfileDay(TENANT, profile_id, TODAY.date - timedelta(days=6)))
    await rebuild.rebuild(ProfileDay(TENANT, 3, TODAY.date - timedelta(days=5)))
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    assert await DailyAggregation(daily.database).delete_raw() == 0
    await DailyAggregation(daily.database).run()
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)


async def test_user_agents_are_deleted_with_the_last_clicks_that_have_them(
    daily: DailyCounts, database_url: str
) -> None:
    """Here no profile keeps clicks for more than two days."""
    click = clicks(random.Random(1), 1)[0]._replace(at_us=TODAY.midnight_us)
    await daily.commit([click._replace(user_agent=b"agent %d" % n) for n in range(6)])
    old = """UPDATE waypost.profiles SET raw_retention_days = 2;
        UPDATE waypost.user_agents SET seen = (now() AT TIME ZONE 'UTC')::date - right(text, 1)::int"""
    await in_asyncio(_execute, database_url, old)

    async def texts() -> list[str]:
        query = "SELECT text FROM user_agents ORDER BY text"
        text_rows = await daily.database.transaction(lambda connection: connection.fetch(query))
        return [row["text"] for row in text_rows]

    await DailyAggregation(daily.database).delete_raw()
    assert await texts() == ["agent 0", "agent 1", "agent 2", "agent 3"]


async def test_finished_days_are_indexed(daily: DailyCounts, database_url: str) -> None:
    await in_asyncio(_execute, database_url, "SELECT waypost.ensure_click_partitions(1)")
    assert await DailyAggregation(daily.database).index() == 1
    assert await DailyAggregation(daily.database).index() == 0


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
