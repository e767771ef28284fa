"""Databases filled with sums of clicks, and stats queries of them."""

import random
from collections.abc import Awaitable, Callable, Collection
from datetime import date, datetime, timedelta
from functools import partial
from unittest.mock import patch
from uuid import uuid4

import asyncpg

from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.dimension import Dimension
from engine.clicks.record_items import HOST, PLACE, UTM, item
from engine.stats.packed.packed_clicks import decode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import repacked
from engine.stats.profile_day import ProfileDay
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats import segments, settling
from storage.stats.compaction import compact
from storage.stats.months import pack_months
from storage.stats.reader import PostgresStatsReader
from storage.stats.segments import ClickSegment, add_segments
from tests.kit import dimension_tables
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click

# Name of the database, a function that fills the database at a URL, then its arguments; returns the URL.
FilledDatabase = Callable[..., str]

PLACES = [
    ("EU", "DE", "BY", "Munich"),
    ("EU", "IT", "25", "Milan"),
    ("NA", "US", "", ""),
    ("", "", "", ""),
]
AGENTS = [
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/137.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.5 Mobile/15E148 Safari/604.1",
]
REFERRERS = [
    b"",
    b"https://www.instagram.com/",
    b"https://news.example/a",
    b"https://News.Example.org/b",
]
CLASSES = (VisitorClass.HUMAN, VisitorClass.BOT, VisitorClass.TOOL, VisitorClass.HEAD)


def random_clicks(dice: random.Random, count: int, first: datetime, days: float) -> list[Click]:
    generated = []
    for _ in range(count):
        at = first + timedelta(days=days) * dice.random()
        view = dice.random() < 0.2
        place = "\x1f".join(dice.choice(PLACES)).encode()
        utm = dice.choice([b"", b"utm_source=Spring%20Mail", b"utm_source=x"])
        items = item(PLACE, place) + item(HOST, b"go.example") + item(UTM, utm)
        plain = click(
            0 if view else dice.choice([5, 6, 7]), round(at.timestamp() * 1e6),
            kind=ClickKind.VIEW if view else ClickKind.CLICK,
            verdict=dice.choices(CLASSES, [8, 2, 1, 1])[0],
            user_agent=dice.choice(AGENTS), referrer=dice.choice(REFERRERS),
        )  # fmt: skip
        visitor_id = dice.randrange(1, 60).to_bytes(8, "big")
        generated.append(plain._replace(visitor_id=visitor_id, items=items))
    return generated


def fill(
    url: str,
    clicks: Collection[Click],
    compacted: Collection[date],
    dimensions: Collection[Dimension],
    late: Collection[Click] = (),
) -> None:
    """Fill the tables of hot days by hand: every day is hot. `late` clicks stand in the live tables for days
    that are compacted, until that is done again."""

    async def write() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "SET search_path = waypost; SET session_replication_role = replica"
            )
            await _keep_in_tables(connection)
            await dimension_tables.write(connection, clicks, compacted, dimensions)
            await dimension_tables.write(connection, late, (), dimensions)
        finally:
            await connection.close()

    hosted_run(partial(in_asyncio, add_profile, url))
    hosted_run(partial(_with_aggregator, url, lambda database: fold(database, [*clicks, *late])))
    hosted_run(partial(in_asyncio, write))


async def _keep_in_tables(connection: Connection) -> None:
    """Make all days hot, and their deltas segments that are counted in tables as well."""
    await connection.execute(
        "INSERT INTO profile_days SELECT DISTINCT tenant_id, profile_id, day, true FROM click_deltas"
    )
    rows = await connection.fetch("DELETE FROM click_deltas RETURNING *")
    for row in rows:
        clicks = ProfileClicks([Piece(row["day"], decode(row["data"]))])
        packed = repacked(clicks, row["day"], as_segment=True)
        key = (row["tenant_id"], row["profile_id"], row["day"])
        await add_segments(connection, [ClickSegment(*key, 0, 1, True, packed)])


def fold_and_settle(
    url: str,
    clicks: Collection[Click],
    late: Collection[Click],
    *,
    hot_clicks: int,
    compacted_before: date | None = None,
    months_before: date | None = None,
) -> None:
    """Fold and settle clicks as the engine does, with days of more than `hot_clicks` clicks hot. `late` clicks
    stay in deltas."""

    async def run(database: Database) -> None:
        await fold(database, clicks)
        days = await days_with_deltas(database)
        with (
            patch.object(settling, "HOT_CLICKS", hot_clicks),
            patch.object(settling, "MAX_THIN_CLICKS", 0),
            patch.object(segments, "SUMMED_FROM", 1),
        ):
            await settling.settle(database, days, pack_few=True)
        if compacted_before is not None:
            assert await compact(database, lambda done, of: None, compacted_before) > 50
        if months_before is not None:
            assert await pack_months(database, months_before, lambda done: None) > 1
        await fold(database, late)

    hosted_run(partial(in_asyncio, add_profile, url))
    hosted_run(partial(_with_aggregator, url, run))


async def keep_raw_clicks(url: str, days: int) -> None:
    """Keep raw clicks of every profile for so many days."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"UPDATE waypost.profiles SET raw_retention_days = {days}")
    finally:
        await connection.close()


async def add_profile(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica"
        )
        await connection.execute(
            "INSERT INTO profiles (id, tenant_id, handle, title, raw_retention_days) "
            "VALUES (2, 1, 'two', '', 3650)"
        )
    finally:
        await connection.close()


async def _with_aggregator(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    database = await Database.open(url, role="waypost_aggregator", size=2, query_timeout_ms=5_000)
    try:
        await work(database)
    finally:
        await database.close()


async def fold(database: Database, clicks: Collection[Click]) -> None:
    """Write raw rows and deltas, as one fold of a new journal."""
    ledger = PostgresClickLedger(database)
    await ledger.register(uuid4())
    (lease,) = await ledger.lease(str(uuid4()), 1, 60)
    await ledger.commit(lease, [batch(1, list(clicks), 50)])


async def days_with_deltas(database: Database) -> list[ProfileDay]:
    async def work(connection: Connection) -> list[ProfileDay]:
        query = "SELECT DISTINCT tenant_id, profile_id, day FROM click_deltas ORDER BY 1, 2, 3"
        return [ProfileDay(*row) for row in await connection.fetch(query)]

    return await database.transaction(work)


def ask(url: str, queries: list[StatsQuery]) -> list[Stats]:
    async def run() -> list[Stats]:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        reader = PostgresStatsReader(app)
        try:
            return [await reader.stats(1, 2, query) for query in queries]
        finally:
            await app.close()

    return hosted_run(run)
