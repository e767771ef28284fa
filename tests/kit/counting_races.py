"""Races of all that moves counted clicks: folds, jobs, rebuilds and killed backends, with readers between.

A reader takes one database snapshot, and finds each click of the raw rows exactly once: packed, or packed and
in the tables of hot days.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import trio

from engine.accounts.access import Caller
from engine.clicks.click import Click
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.stats.ledger_ports import JournalLease
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.profile_day import ProfileDay
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats.compaction import compact
from storage.stats.months import pack_months
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import settle
from tests.kit.packed_counts import stored_pieces
from tests.kit.shipped_batches import batch
from tests.kit.stats_database import random_clicks

TENANT = 1
BUSY, QUIET = 2, 3  # the days of one profile become hot, those of the other are packed
PROFILES = (BUSY, QUIET)
FIRST = datetime(2026, 4, 29, tzinfo=UTC)
DAYS = 4  # of two months
_RAW = """SELECT profile_id, link_id, floor(extract(epoch FROM at))::bigint / 900,
    CASE WHEN is_bot(classification) THEN 2 WHEN kind = 1 THEN 0 ELSE 1 END, coalesce(country, ''),
    coalesce(visitor, 0)
    FROM clicks WHERE is_counted(classification) OR is_bot(classification)"""
_ROLLUPS = """SELECT profile_id, link_id, extract(epoch FROM bucket)::bigint / 900, clicks, views, bots
    FROM rollups WHERE link_id >= 0"""
_DIMENSIONS = """SELECT profile_id, value, extract(epoch FROM bucket)::bigint / 900, clicks, views, bots
    FROM dimension_counts WHERE link_id = $1 AND dimension = $2"""
_DAYS = """SELECT profile_id, link_id, value, day - date '1970-01-01', clicks, views, bots FROM dimension_days
    WHERE dimension = $1"""
_KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'waypost' AND datname = current_database() AND state <> 'idle'
    ORDER BY random() LIMIT 1"""
Counts = Counter[tuple[Any, ...]]


class Races:
    """Actors over one database, which run until `folds` folds are committed."""

    def __init__(self, url: str, app: Database, aggregator: Database, folds: int) -> None:
        self._url = url
        self._app = app
        self._aggregator = aggregator
        self._missing = folds
        self._leases: list[JournalLease] = []
        self._rebuild = DayRebuild(aggregator)
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def run(self, seed: int) -> None:
        ledger = PostgresClickLedger(self._aggregator)
        for _ in range(3):
            await ledger.register(uuid4())
        self._leases = await ledger.lease("one", 3, 60)
        actors: list[Callable[[random.Random], Awaitable[None]]] = [
            *[self._fold] * 3, *[self._settle] * 3, self._pack, self._recount, self._compact,
            *[self.read] * 2, self._kill,
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            for number, act in enumerate(actors):
                nursery.start_soon(self._repeat, act, random.Random(seed * 100 + number))
        await self.read(random.Random(seed))

    async def _repeat(
        self, act: Callable[[random.Random], Awaitable[None]], dice: random.Random
    ) -> None:
        while self._missing > 0 and not self.wrong:
            try:
                await act(dice)
                self.seen[act.__name__] += 1
            except UnavailableError:
                self.seen["unavailable"] += 1
            await trio.sleep(dice.random() * 0.01)

    async def _fold(self, dice: random.Random) -> None:
        """Commit to a journal from its watermark; other folders do the same."""
        ledger = PostgresClickLedger(self._aggregator)
        lease = dice.choice(self._leases)
        folded = await ledger.watermark(lease.journal_id)
        assert folded is not None
        lease = lease._replace(folded=folded)
        await trio.sleep(dice.random() * 0.01)
        try:
            await ledger.commit(lease, [batch(lease.folded + 1, some_clicks(dice), 50)])
        except StaleLeaseError:
            self.seen["stale"] += 1
        else:
            self._missing -= 1

    async def _settle(self, dice: random.Random) -> None:
        days = dice.sample(all_days(), dice.choice([1, 3, 8]))
        await settle(self._aggregator, days, pack_few=dice.random() < 0.3)

    async def _pack(self, dice: random.Random) -> None:
        if dice.random() < 0.2:
            end = (FIRST + timedelta(days=40)).date()
            self.seen["months"] += await pack_months(self._aggregator, end, lambda done: None)

    async def _compact(self, dice: random.Random) -> None:
        if dice.random() < 0.1:
            await compact(self._aggregator, lambda done, of: None)

    async def _recount(self, dice: random.Random) -> None:
        await self._rebuild.rebuild(dice.choice(all_days()))

    async def _kill(self, dice: random.Random) -> None:
        async def kill() -> None:
            connection = await asyncpg.connect(self._url)
            try:
                await connection.execute(_KILL)
            finally:
                await connection.close()

        await trio.sleep(dice.random() * 0.1)
        await in_asyncio(kill)

    async def read(self, dice: random.Random) -> None:
        """Compare all counts with the raw rows."""
        difference = await self._app.transaction(
            _difference, caller=Caller(TENANT, 1), read_only=True
        )
        if difference:
            self.wrong.append(difference)


def all_days() -> list[ProfileDay]:
    return [
        ProfileDay(TENANT, profile_id, (FIRST + timedelta(days=n)).date())
        for profile_id in PROFILES
        for n in range(DAYS)
    ]


def some_clicks(dice: random.Random) -> list[Click]:
    busy = random_clicks(dice, dice.randrange(1, 40), FIRST, DAYS)
    quiet = random_clicks(dice, 2, FIRST, DAYS)
    return [
        *(click._replace(profile_id=BUSY) for click in busy),
        *(click._replace(profile_id=QUIET) for click in quiet),
    ]


async def _difference(connection: Connection) -> str:
    """Return what counts and raw rows do not agree in, or ''."""
    raw: Counts = Counter(tuple(row) for row in await connection.fetch(_RAW))
    pieces = await stored_pieces(connection)
    in_tables, packed = _clicks(pieces.in_tables), _clicks(pieces.others)
    if in_tables + packed != raw:
        counted = in_tables + packed
        lost, made = list((raw - counted).elements()), list((counted - raw).elements())
        return f"{len(lost)} clicks are lost ({lost[:2]}) and {len(made)} made ({made[:2]})"
    tables: Counts = Counter()
    for profile_id, link, quarter, *counts in await connection.fetch(_ROLLUPS):
        _add(tables, (profile_id, "link", link, quarter // 96), counts)
    of_country = (ALL_LINKS, int(Dimension.COUNTRY))
    for profile_id, value, quarter, *counts in await connection.fetch(_DIMENSIONS, *of_country):
        _add(tables, (profile_id, "country", value, quarter // 96), counts)
    for dimension in (Dimension.TOTAL, Dimension.COUNTRY):
        rows = await connection.fetch(_DAYS, int(dimension))
        for profile_id, link, value, day, *counts in rows:
            if dimension is Dimension.TOTAL and link != ALL_LINKS:
                _add(tables, (profile_id, "link", link, day), counts)
            elif dimension is Dimension.COUNTRY and link == ALL_LINKS:
                _add(tables, (profile_id, "country", value, day), counts)
    expected: Counts = Counter()
    for (profile_id, link, quarter, counted_as, country, _), count in in_tables.items():
        expected[profile_id, "link", link, quarter // 96, counted_as] += count
        expected[profile_id, "country", country, quarter // 96, counted_as] += count
    return "" if tables == expected else "tables and the clicks in them do not agree"


def _add(sums: Counts, key: tuple[Any, ...], counts: list[int]) -> None:
    for counted_as, count in enumerate(counts):
        if count:
            sums[(*key, counted_as)] += count


def _clicks(pieces: list[tuple[int, Piece]]) -> Counts:
    """Return the packed clicks as the query of raw rows has them."""
    clicks: Counts = Counter()
    for profile_id, piece in pieces:
        of = ProfileClicks([piece])
        countries = of.values(Dimension.COUNTRY)
        clicks.update(
            (profile_id, link, quarter, counted_as, countries.names[code], visitor)
            for link, quarter, counted_as, code, visitor in zip(
                of.links.tolist(), of.quarters.tolist(), of.counted_as.tolist(),
                countries.codes.tolist(), of.pseudonyms.tolist(), strict=True,
            )
        )  # fmt: skip
    return clicks
