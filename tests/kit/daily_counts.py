"""A profile whose days are folded, counted, compacted and read back row by row."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from operator import add
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg

from engine.clicks.click import (
    RULES_VERSION_SHIFT,
    Click,
    ClickKind,
)
from engine.clicks.dimension import ALL_LINKS
from engine.clicks.record_items import PLACE, UTM, item
from engine.clicks.rollup import TIME_BUCKET_US
from engine.clicks.rollup import rollup_counts as rollups
from engine.stats.compaction import CompactedDay, expand_day
from engine.stats.dimension_counts import count_by_dimension
from engine.stats.ledger_ports import JournalLease
from engine.stats.profile_day import ProfileDay
from engine.visits.classifier import RULES_VERSION
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats.settling import settle
from tests.kit.midnight import wait_past_midnight
from tests.kit.packed_counts import stored_pieces, sums_of
from tests.kit.shipped_batches import batch

TENANT, PROFILE = 1, 2
DAY_US = 96 * TIME_BUCKET_US
AGENTS = (b"", b"curl/8", b"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0")
CRAWLER = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class Today:
    """The UTC day on which a test began, because a run of all tests may go on beyond midnight."""

    date: date
    midnight_us: int

    def begin(self) -> None:
        """Begin a test, which must end on the day on which it began."""
        wait_past_midnight()
        self.date = datetime.now(UTC).date()
        midnight = datetime.combine(self.date, datetime.min.time(), UTC)
        self.midnight_us = int(midnight.timestamp()) * 1_000_000


TODAY = Today()

# By link, dimension, value and bucket: clicks, views, bots.
Sums = dict[tuple[int, int, str, int], tuple[int, ...]]


def clicks(chance: random.Random, count: int, days: int = 3) -> list[Click]:
    """Return random clicks of the last `days` UTC days and of today's first quarter of an hour."""
    return [
        Click(
            kind=chance.choice([ClickKind.CLICK, ClickKind.CLICK, ClickKind.VIEW]),
            classification=chance.choice([0, 1, 1, 2, 3, 5, 6, 7, 8]) | RULES_VERSION << RULES_VERSION_SHIFT,
            at_us=TODAY.midnight_us + chance.randrange(-days * DAY_US, TIME_BUCKET_US),
            tenant_id=TENANT,
            profile_id=PROFILE,
            link_id=chance.choice([0, 7, 8]),
            user_agent=chance.choice(AGENTS),
            referrer=chance.choice([b"", b"https://t.co/x"]),
            language=chance.choice([b"", b"de"]),
            visitor_id=chance.choice([b"", *(b"visitor%d" % n for n in range(6))]),
            items=chance.choice([b"", item(PLACE, b"EU\x1fDE\x1f\x1fBerlin"), item(UTM, b"utm_term=x")]),
        )
        for _ in range(count)
    ]  # fmt: skip


class Counts(NamedTuple):
    """All counts of the profile: `sums`, `days`, `months` and `quarters` of the tables, the others of packed
    clicks. Those `in_tables` are the same clicks as in the tables."""

    sums: Sums
    days: dict[tuple[int, int, str, date], tuple[int, ...]]
    months: dict[tuple[int, int, str, date], tuple[int, ...]]
    quarters: list[Any]
    in_tables: Sums
    others: Sums


class DailyCounts:
    """A profile's counts, and the clicks behind them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = PostgresClickLedger(database)
        self.committed: list[Click] = []
        self.lease: JournalLease | None = None

    async def commit(self, clicks: list[Click]) -> None:
        if self.lease is None:
            await self.ledger.register(uuid4())
            (self.lease,) = await self.ledger.lease("one", 1, 600)
        shipped = batch(self.lease.folded + 1, clicks)
        self.lease = await self.ledger.commit(self.lease, [shipped])
        self.committed += clicks

    async def settle(self) -> None:
        """Settle the deltas of the last eight days."""
        await settle(self.database, days_of(8))

    async def add(self, clicks: list[Click]) -> None:
        await self.commit(clicks)
        await self.settle()

    async def read(self) -> Counts:
        """Read all counts in one database snapshot."""

        async def work(connection: Connection) -> Counts:
            sums: Counter[tuple[Any, ...]] = Counter()
            plain = await connection.fetch(
                "SELECT link_id, extract(epoch FROM bucket)::bigint, clicks, views, bots FROM rollups"
            )
            for link_id, second, *counts in plain:
                _add(sums, (link_id, 0, "", second), counts)
            live = await connection.fetch(
                "SELECT link_id, dimension, value, extract(epoch FROM bucket)::bigint, clicks, views, bots "
                "FROM dimension_counts"
            )
            for *key, clicked, viewed, bots in live:
                _add(sums, tuple(key), (clicked, viewed, bots))
            quarters = await connection.fetch(
                "SELECT * FROM dimension_quarters ORDER BY 1, 2, 3, 4, 5, 6"
            )
            for _, _, link_id, dimension, day, value, *row in quarters:
                midnight = int(datetime.combine(day, datetime.min.time(), UTC).timestamp())
                for at, quarter in expand_day(CompactedDay(*row)).items():
                    _add(sums, (link_id, dimension, value, midnight + at * 900), quarter[:3])
            days = await connection.fetch("SELECT * FROM dimension_days")
            months = await connection.fetch("SELECT * FROM dimension_months")
            pieces = await stored_pieces(connection)
            return Counts(
                _whole(sums),
                {(*row[2:4], row["value"], row["day"]): tuple(row)[6:] for row in days},
                {(*row[2:4], row["value"], row["month"]): tuple(row)[6:] for row in months},
                quarters,
                _whole(sums_of(pieces.in_tables)),
                _whole(sums_of(pieces.others)),
            )

        return await self.database.transaction(work, read_only=True)

    async def check(self) -> Counts:
        """Assert that every click is counted once, and that live and compacted tables agree. Returns them."""
        counts = await self.read()
        assert counts.sums == counts.in_tables
        assert _added(counts.sums, counts.others) == expected(self.committed)
        days: dict[Any, tuple[int, ...]] = {}
        months: Counter[tuple[Any, ...]] = Counter()
        for (
            _,
            _,
            *key,
            day,
            value,
            at,
            clicked,
            viewed,
            bots,
            _,
            before,
            after,
            _,
        ) in counts.quarters:
            days[(*key, value, day)] = (clicked[-1], viewed[-1], bots[-1], before[-1])
            assert before[-1] == after[0]
            assert at == sorted(set(at))
            for column, count in enumerate(days[(*key, value, day)]):
                months[(*key, value, day.replace(day=1), column)] += count
        assert counts.days == days
        assert {(*key, n): row[n] for key, row in counts.months.items() for n in range(4)} == months
        return counts


def _add(sums: Counter[tuple[Any, ...]], key: tuple[Any, ...], counts: Iterable[int]) -> None:
    for column, count in enumerate(counts):
        sums[(*key, column)] += count


def _whole(sums: Counter[tuple[Any, ...]]) -> Sums:
    """Return sums by key and column as a row for each key, without empty ones."""
    whole: Sums = {}
    for (link_id, dimension, value, second, column), count in sums.items():
        key = (link_id, dimension, value, second)
        row = whole.get(key, (0, 0, 0))
        whole[key] = (*row[:column], count, *row[column + 1 :])
    return {key: row for key, row in whole.items() if any(row)}


def _added(one: Sums, other: Sums) -> Sums:
    zeros = (0, 0, 0)
    return {
        key: tuple(map(add, one.get(key, zeros), other.get(key, zeros)))
        for key in one.keys() | other.keys()
    }


def expected(clicks: list[Click]) -> Sums:
    sums: Counter[tuple[Any, ...]] = Counter()
    for key, counts in rollups(clicks):
        for of in (key.link_id, ALL_LINKS):
            _add(sums, (of, 0, "", key.time_bucket_us // 1_000_000), counts)
    for count_key, by_dimension in count_by_dimension(clicks).items():
        row = (by_dimension.clicks, by_dimension.views, by_dimension.bots)
        link_id, second = count_key.link_id, count_key.bucket_us // 1_000_000
        _add(sums, (link_id, count_key.dimension, count_key.value, second), row)
    return _whole(sums)


async def make_profile(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica; "
            "INSERT INTO tenants (id, name) VALUES (1, 'one'); "
            "INSERT INTO profiles (tenant_id, id, handle, title, created_at) "
            "VALUES (1, 2, 'ada', 'Ada', now() - interval '1 year')"
        )
    finally:
        await connection.close()


def days_of(count: int = 4) -> list[ProfileDay]:
    return [ProfileDay(TENANT, PROFILE, TODAY.date - timedelta(days=n)) for n in range(count)]
