"""Databases filled with sums of clicks, and stats queries of them."""

import random
from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from functools import partial
from uuid import uuid4

import asyncpg

from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.dimension import Dimension
from engine.clicks.record_items import HOST, PLACE, UTM, item
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.stats.compaction import compact
from storage.stats.reader import PostgresStatsReader
from tests.kit import dimension_tables
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click

# Name of the database, then as `fill`; its URL.
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
    *,
    before: date | None = None,
) -> None:
    """Fill the tables. With `before`, the engine then compacts the days before that one. `late` clicks
    stand in the live tables for days that are compacted, until that is done again."""

    async def write() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("TRUNCATE waypost.rollups")
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(
                "INSERT INTO waypost.profiles (id, tenant_id, handle, title, raw_retention_days) "
                "VALUES (2, 1, 'two', '', 3650)"
            )
            await dimension_tables.write(connection, clicks, compacted, dimensions)
        finally:
            await connection.close()

    async def write_late() -> None:
        connection = await asyncpg.connect(url)
        try:
            await dimension_tables.write(connection, late, (), dimensions)
        finally:
            await connection.close()

    hosted_run(partial(raw, url, [*clicks, *late]))
    hosted_run(partial(in_asyncio, write))
    if before is not None:
        hosted_run(partial(compacted_before, url, before))
    hosted_run(partial(in_asyncio, write_late))


async def compacted_before(url: str, day: date) -> None:
    database = await Database.open(url, role="waypost_aggregator", size=1, query_timeout_ms=5_000)
    try:
        assert await compact(database, lambda done, of: None, day) > 50
    finally:
        await database.close()


async def raw(url: str, clicks: Collection[Click]) -> None:
    """Write raw rows and rollups as a fold does."""
    database = await Database.open(url, role="waypost_aggregator", size=1, query_timeout_ms=5_000)
    try:
        ledger = PostgresClickLedger(database)
        await ledger.register(uuid4())
        (position,) = await ledger.lease("test", 1, 60)
        await ledger.commit(position, [batch(1, list(clicks), 50)])
    finally:
        await database.close()


def ask(url: str, queries: list[StatsQuery]) -> list[Stats]:
    async def run() -> list[Stats]:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        reader = PostgresStatsReader(app)
        try:
            return [await reader.stats(1, 2, query) for query in queries]
        finally:
            await app.close()

    return hosted_run(run)
