"""A profile whose days are folded, counted, compacted and read back row by row."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg

from engine.clicks.click import (
    Click,
    ClickKind,
)
from engine.clicks.dimension import ALL_LINKS
from engine.clicks.record_items import PLACE, UTM, item
from engine.clicks.rollup import TIME_BUCKET_US
from engine.clicks.rollup import rollup_counts as rollups
from engine.stats.click_buffer import ClickBuffer, ValueDictionary
from engine.stats.compaction import CompactedDay, expand_day
from engine.stats.dimension_counts import count_by_dimension
from engine.stats.ledger_ports import JournalLease, WatermarkAdvance
from engine.visits.classifier import RULES_VERSION
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats.compaction import ProfileDay
from tests.kit.midnight import wait_past_midnight
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
            classification=chance.choice([0, 1, 1, 2, 3, 5, 6]) | RULES_VERSION << 3,
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
    """All counts of the profile in the tables."""

    sums: Sums
    days: dict[tuple[int, int, str, date], tuple[int, ...]]
    months: dict[tuple[int, int, str, date], tuple[int, ...]]
    quarters: list[Any]


class DailyCounts:
    """A profile's counts, and the clicks behind them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = PostgresClickLedger(database)
        self.words = ValueDictionary()
        self.committed: list[Click] = []
        self.dimension_counted: list[Click] = []
        self.lease: JournalLease | None = None

    async def commit(self, clicks: list[Click]) -> None:
        if self.lease is None:
            await self.ledger.register(uuid4())
            (self.lease,) = await self.ledger.lease("one", 1, 600)
        shipped = batch(self.lease.folded + 1, clicks)
        self.lease = await self.ledger.commit(self.lease, [shipped])
        self.committed += clicks

    async def count_dimensions(self) -> None:
        assert self.lease is not None
        uncounted = self.committed[len(self.dimension_counted) :]
        if uncounted:
            journal_id, folded, token, counted = self.lease
            buffer = ClickBuffer(self.words)
            buffer.add(journal_id, batch(counted + 1, uncounted), 0)
            await self.ledger.commit_dimension_counts(
                [WatermarkAdvance(journal_id, counted, folded, token)], buffer
            )
            self.lease = self.lease._replace(dimension_counted=folded)
            self.dimension_counted += uncounted

    async def add(self, clicks: list[Click]) -> None:
        await self.commit(clicks)
        await self.count_dimensions()

    async def read(self) -> Counts:
        async def work(connection: Connection) -> Counts:
            sums: Counter[tuple[Any, ...]] = Counter()
            plain = await connection.fetch(
                "SELECT link_id, extract(epoch FROM bucket)::bigint, clicks, views, bots FROM rollups"
            )
            for link_id, second, *counts in plain:
                for of in (link_id, ALL_LINKS):
                    _add(sums, (of, 0, "", second), counts)
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
            whole: Sums = {}
            _fill(whole, sums)
            return Counts(
                {key: row for key, row in whole.items() if any(row)},
                {(*row[2:4], row["value"], row["day"]): tuple(row)[6:] for row in days},
                {(*row[2:4], row["value"], row["month"]): tuple(row)[6:] for row in months},
                quarters,
            )

        return await self.database.transaction(work, read_only=True)

    async def check(self) -> Counts:
        """Assert that all counts are right, in live and compacted tables. Returns them."""
        counts = await self.read()
        assert counts.sums == expected(self.committed, self.dimension_counted)
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


def _fill(whole: Sums, sums: Counter[tuple[Any, ...]]) -> None:
    """Add the counts by key and column to the rows of `whole`."""
    for (link_id, dimension, value, second, column), count in sums.items():
        key = (link_id, dimension, value, second)
        row = whole.get(key, (0, 0, 0))
        whole[key] = (*row[:column], count, *row[column + 1 :])


def expected(committed: list[Click], dimension_counted: list[Click]) -> Sums:
    sums_by_column: Counter[tuple[Any, ...]] = Counter()
    for key, counts in rollups(committed):
        for of in (key.link_id, ALL_LINKS):
            second = key.time_bucket_us // 1_000_000
            _add(sums_by_column, (of, 0, "", second), counts)
    for count_key, sums in count_by_dimension(dimension_counted).items():
        row = (sums.clicks, sums.views, sums.bots)
        link_id, second = count_key.link_id, count_key.bucket_us // 1_000_000
        _add(sums_by_column, (link_id, count_key.dimension, count_key.value, second), row)
    whole: Sums = {}
    _fill(whole, sums_by_column)
    return {key: counts for key, counts in whole.items() if any(counts)}


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
