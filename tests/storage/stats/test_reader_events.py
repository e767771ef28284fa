"""Own events in Postgres: packed, kept when the clicks of hot days are not, counted anew, exported."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.dimension import Dimension
from engine.stats.ports import CLICK_COLUMNS, RecentQuestion
from engine.stats.profile_day import ProfileDay
from engine.stats.query_parser import parse_query
from storage.postgres.database import Connection, Database
from storage.stats import settling
from storage.stats.export import PostgresClickExport
from storage.stats.memory_stats import answered, values
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import PROFILE, TENANT, Counting, some_clicks
from tests.kit.stats_database import days_with_deltas
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
QUESTIONS = [
    {"group": "event"},
    {"group": "property", "filter[event]": "signup"},
    {"group": "country", "filter[event]": "signup", "filter[property]": "plan=pro"},
    {"group": "time,event"},
    {"metrics": "events,visitors", "filter[property]!": "plan=pro,seats=3"},
    {"group": "clicks"},
]


def parsed(pairs: dict[str, str]) -> Any:
    period = {"from": f"{FIRST:%Y-%m-%d}", "to": f"{FIRST + timedelta(days=2):%Y-%m-%d}"}
    if pairs == {"group": "clicks"}:  # a question that is not of own events
        pairs = {"metrics": "clicks,views,bots"}
    return parse_query([*period.items(), *pairs.items()], FIRST + timedelta(days=9))


async def check(counting: Counting) -> None:
    for pairs in QUESTIONS:
        query = parsed(pairs)
        answer = await counting.reader.stats(TENANT, PROFILE, query)
        expected = answered(counting.clicks, query, None)
        assert (answer.rows, answer.totals) == (expected.rows, expected.totals), pairs
    assert any(row.clicks for row in answer.rows)


async def forget(aggregator: Database) -> None:
    """Do what the end of raw clicks does to packed ones."""

    async def work(connection: Connection) -> None:
        await connection.execute("DELETE FROM click_segments WHERE in_tables")
        await connection.execute("UPDATE click_segments SET pseudonyms = NULL")
        await connection.execute("DELETE FROM clicks")

    await aggregator.transaction(work)


async def test_own_events_of_a_hot_day_outlive_its_clicks(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "HOT_CLICKS", 9)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    dice = random.Random(1)
    for _ in range(4):
        await counting.fold(some_clicks(dice, 60, FIRST, 1.9))
        await check(counting)  # some are in deltas of hot days
        await settle(counting.aggregator, await days_with_deltas(counting.aggregator))
        await check(counting)
    days = [ProfileDay(TENANT, PROFILE, FIRST.date() + timedelta(days=n)) for n in range(2)]
    await settle(counting.aggregator, days)
    await forget(counting.aggregator)
    for pairs in QUESTIONS[:-1]:
        query = parsed(pairs)
        answer = await counting.reader.stats(TENANT, PROFILE, query)
        expected = answered(counting.clicks, query, None)
        assert (answer.rows, answer.totals) == (expected.rows, expected.totals), pairs


@pytest.mark.parametrize("hot_clicks", [9, 1_000])
async def test_a_day_that_is_counted_anew_has_its_own_events_again(
    counting: Counting,
    open_database: OpenDatabase,
    monkeypatch: pytest.MonkeyPatch,
    hot_clicks: int,
) -> None:
    monkeypatch.setattr(settling, "HOT_CLICKS", hot_clicks)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    await counting.fold(some_clicks(random.Random(2), 80, FIRST, 1.9))
    days = await days_with_deltas(counting.aggregator)
    await settle(counting.aggregator, days)
    rebuild = DayRebuild(await open_database("waypost_aggregator"))
    counted = [await rebuild.rebuild(day) for day in days]
    await check(counting)
    assert sum(counted) == await _packed_clicks(counting.aggregator)
    for day in days:
        await rebuild.reclassify(day, everything=True)
    answer = await counting.reader.stats(TENANT, PROFILE, parsed(QUESTIONS[0]))
    assert {row.values for row in answer.rows} == {("signup",), ("buy",)}


async def _packed_clicks(aggregator: Database) -> int:
    async def work(connection: Connection) -> int:
        deltas = await connection.fetchval("SELECT coalesce(sum(clicks), 0) FROM click_deltas")
        segments = await connection.fetchval("SELECT coalesce(sum(clicks), 0) FROM click_segments")
        return int(deltas + segments)

    return await aggregator.transaction(work)


async def test_own_events_are_no_activity_and_an_export_names_them(
    counting: Counting, open_database: OpenDatabase
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    events = [
        one._replace(at_us=round(now.timestamp() * 1e6) - 1_000_000)
        for one in some_clicks(random.Random(3), 60, now, 0.001)
        if one.kind == ClickKind.EVENT
    ]
    bot = events[0]._replace(classification=VisitorClass.BOT)
    await counting.fold([*events, bot])
    recent = RecentQuestion(PROFILE, now, now - timedelta(minutes=5), 10)
    _, answer = await counting.reader.answers(TENANT, [], recent)
    assert answer is not None
    assert (answer.visitors_now, answer.latest) == (0, [])
    export = PostgresClickExport(await open_database("waypost_app"))
    rows: list[dict[str, Any]] = []
    day = timedelta(days=1)
    async for chunk in export.clicks(TENANT, PROFILE, now - day, now + day):
        rows += (dict(zip(CLICK_COLUMNS, row, strict=True)) for row in chunk)
    assert len(rows) == len(events) + 1
    assert {row["kind"] for row in rows} == {"event"}
    names = {(row["event"], row["properties"]) for row in rows}
    assert names == {_exported(event) for event in events}
    counted = [
        one for one in events if one.classification in (VisitorClass.HUMAN, VisitorClass.TOOL)
    ]
    assert await _packed_clicks(counting.aggregator) == len(counted)


def _exported(event: Click) -> tuple[str, str | None]:
    # A HEAD has no values to be counted by, and is exported with them.
    event = event._replace(classification=VisitorClass.HUMAN)
    (name,) = values(event, Dimension.EVENT)
    return name, ", ".join(filter(None, values(event, Dimension.PROPERTY))) or None
