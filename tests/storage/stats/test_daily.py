"""Days that are over: whatever is compacted, counted or judged anew, and whenever, every sum stays right."""

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
from engine.stats.query import StatsQuery
from storage.bridge import in_asyncio
from storage.postgres.database import Connection, Database
from storage.stats import compaction
from storage.stats.compaction import ProfileDay, compact, compact_day
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
        match chance.choice(["commit", "summarise", "compact", "compact", "rebuild"]):
            case "commit":
                await daily.commit(clicks(chance, 20))
            case "summarise":
                await daily.summarise()
            case "compact":
                await compact(daily.database, lambda done, of: None)
            case "rebuild":
                await rebuild.rebuild(chance.choice(days_of()))
        await daily.check()


async def test_a_compacted_day_is_what_its_clicks_say(daily: DailyCounts) -> None:
    """Against arrays made by plain loops, for any quarter of an hour to begin or end at."""
    chance = random.Random(5)
    told: list[tuple[int, int]] = []
    await daily.add(clicks(chance, 120))
    assert await compact(daily.database, lambda done, of: told.append((done, of))) == 3
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    await daily.add(clicks(chance, 40))
    await compact(daily.database, lambda done, of: None)
    found = await daily.check()
    assert not [key for key in found.days if key[3] == TODAY.date]
    visitors: dict[tuple[Any, ...], set[int]] = {}
    for one, sums in count_by_dimension(daily.summarised).items():
        at = one.bucket_us % DAY_US // TIME_BUCKET_US
        day = datetime.fromtimestamp(one.bucket_us / 1e6, UTC).date()
        if day != TODAY.date and sums.visitors:
            visitors[one.link_id, one.dimension, one.value, day, at] = sums.visitors
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
    ) in found.quarters:
        of = [visitors.get((link_id, dimension, value, day, one), set()) for one in at]
        assert alone == [len(one) for one in of]
        assert before == [len(set().union(*of[: n + 1])) for n in range(len(of))]
        assert after == [len(set().union(*of[n:])) for n in range(len(of))]
        checked += sum(map(len, of))
    assert checked > 1000


ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Pacific/Kiritimati")


async def test_any_zones_days_are_those_of_the_clicks_before_and_after(
    daily: DailyCounts, database_url: str
) -> None:
    """As the statistics read them: live, while days are compacted, and with clicks that came late."""
    chance = random.Random(11)
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=10_000)
    reader = PostgresStatsReader(app)

    async def check() -> None:
        for tz in ZONES:
            for dimension in (None, Dimension.OS):
                await _compare(reader, daily.summarised, tz, dimension)

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
    found = {
        (row.time.date() if row.time else None, *row.values): (row.clicks, row.views, row.bots)
        for row in stats.rows
        if row.clicks or row.views or row.bots
    }
    expected: dict[tuple[Any, ...], list[int]] = {}
    for one in counted:
        judged = one.classification & CLASS_MASK
        if judged not in BOT_CLASSES | COUNTED_CLASSES:
            continue
        day = datetime.fromtimestamp(one.at_us / 1e6, ZoneInfo(tz)).date()
        values = [value for of, value in dimension_values(one) if of == dimension]
        counts = expected.setdefault((day, *values), [0, 0, 0])
        counts[2 if judged in BOT_CLASSES else one.kind != ClickKind.CLICK] += 1
    assert found == {key: tuple(counts) for key, counts in expected.items()}, (tz, dimension)


async def test_a_crash_in_the_midst_changes_nothing(
    daily: DailyCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", 30)
    await daily.add(clicks(random.Random(1), 60))
    original, calls = compaction._put, 0

    async def put(connection: Connection, one: ProfileDay, news: Any) -> None:
        nonlocal calls
        calls += 1
        await original(connection, one, news)
        if calls % 3 == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(compaction, "_put", put)
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


async def test_what_is_live_may_be_so_much_that_looking_at_it_takes_long(
    daily: DailyCounts, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daily.add(clicks(random.Random(1), 20))
    slowly = "WITH slowly AS MATERIALIZED (SELECT pg_sleep(0.7)) SELECT found.* FROM slowly, ({}) AS found"
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


async def test_folds_go_on_while_a_day_is_compacted_and_counted_anew(daily: DailyCounts) -> None:
    """Today, where everything happens at once."""
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
                await daily.summarise()
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
    await daily.summarise()
    await daily.check()


async def test_raw_clicks_go_when_their_time_is_over(daily: DailyCounts, database_url: str) -> None:
    """Of profiles that keep them for 2 and 5 days; a day that nobody keeps goes as a whole."""

    async def rows(of: int) -> list[date]:
        query = (
            "SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM clicks WHERE profile_id = $1"
        )
        found = await daily.database.transaction(lambda connection: connection.fetch(query, of))
        return sorted(row["day"] for row in found)

    def before(*days: int) -> list[date]:
        return sorted(TODAY.date - timedelta(days=n) for n in days)

    made = "".join(f"SELECT waypost.make_click_partition(current_date - {n});" for n in range(3, 8))
    setup = f"""SET search_path = waypost; SET session_replication_role = replica; SET timezone = 'UTC';
        SELECT ensure_click_partitions(1); SET ROLE waypost_owner; {made} RESET ROLE;
        UPDATE profiles SET raw_retention_days = 2;
        INSERT INTO profiles (tenant_id, id, handle, title, raw_retention_days, created_at)
        VALUES (1, 3, 'bob', 'Bob', 5, now() - interval '1 year')"""
    await in_asyncio(_execute, database_url, setup)
    one = clicks(random.Random(1), 1)[0]
    old = [
        one._replace(at_us=TODAY.midnight_us - n * DAY_US + 5, profile_id=of)
        for n in range(10)
        for of in (PROFILE, 3)
    ]
    await daily.add(old)
    assert await DailyAggregation(daily.database).delete_raw() == 2
    assert await rows(PROFILE) == before(0, 1, 2)
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)
    rebuild = DayRebuild(daily.database)
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    # Kept for longer again: what is gone stays gone.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    await rebuild.rebuild(days_of()[2])
    # Nobody kept these, which is noted of nobody by name.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 9")
    for of in (PROFILE, 3):
        with pytest.raises(RebuildError, match="kept from"):
            await rebuild.rebuild(ProfileDay(TENANT, of, TODAY.date - timedelta(days=6)))
    await rebuild.rebuild(ProfileDay(TENANT, 3, TODAY.date - timedelta(days=5)))
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    assert await DailyAggregation(daily.database).delete_raw() == 0
    await DailyAggregation(daily.database).run()
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)


async def test_user_agents_go_with_the_last_clicks_that_have_them(
    daily: DailyCounts, database_url: str
) -> None:
    """Here nobody keeps clicks for more than two days."""
    one = clicks(random.Random(1), 1)[0]._replace(at_us=TODAY.midnight_us)
    await daily.commit([one._replace(user_agent=b"agent %d" % n) for n in range(6)])
    old = """UPDATE waypost.profiles SET raw_retention_days = 2;
        UPDATE waypost.user_agents SET seen = (now() AT TIME ZONE 'UTC')::date - right(text, 1)::int"""
    await in_asyncio(_execute, database_url, old)

    async def texts() -> list[str]:
        query = "SELECT text FROM user_agents ORDER BY text"
        found = await daily.database.transaction(lambda connection: connection.fetch(query))
        return [row["text"] for row in found]

    await DailyAggregation(daily.database).delete_raw()
    assert await texts() == ["agent 0", "agent 1", "agent 2", "agent 3"]


async def test_days_that_are_over_are_indexed(daily: DailyCounts, database_url: str) -> None:
    await in_asyncio(_execute, database_url, "SELECT waypost.ensure_click_partitions(1)")
    assert await DailyAggregation(daily.database).index() == 1
    assert await DailyAggregation(daily.database).index() == 0


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
