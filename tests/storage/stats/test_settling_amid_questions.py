"""Questions amid jobs and an erasure: every answer is that of one moment, whatever moves clicks meanwhile.

Between rounds clicks are folded; in a round jobs settle, promote to hot days, compact, pack months and rebuild,
a neighbour's profile is erased, and questions are asked all the while.
"""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import pytest
import trio

from engine.stats.profile_day import ProfileDay
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.privacy.erasure import Eraser
from storage.redis.client import RedisServer
from storage.stats import settling
from storage.stats.compaction import compact
from storage.stats.months import pack_months
from storage.stats.reader import PostgresStatsReader
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import PROFILE, QUESTIONS, TENANT, Counting, ask, some_clicks
from tests.kit.stats_database import add_profile, days_with_deltas

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

DOOMED: Final = 3
NOW: Final = datetime(2026, 5, 10, 9, 40, tzinfo=UTC)
FIRST: Final = NOW - timedelta(days=20)
DAYS: Final = [(FIRST + timedelta(days=n)).date() for n in range(21)]
ASKERS: Final = 2
ALL: Final = [
    ("from", FIRST.strftime("%Y-%m-%dT%H:%MZ")),
    ("to", NOW.strftime("%Y-%m-%dT%H:%MZ")),
    ("tz", "UTC"),
    ("interval", "day"),
]


class Amid:
    """Jobs and askers over one database."""

    def __init__(self, url: str, counting: Counting, eraser: Eraser, dice: random.Random) -> None:
        self._url = url
        self._counting = counting
        self._eraser = eraser
        self._dice = dice
        self._doomed_clicks = 0
        self._asked = trio.Event()
        self.asked = 0
        self.jobs = 0
        self.erased = 0

    async def round(self) -> None:
        """Fold, then ask while jobs run and the neighbour is erased."""
        await self._fold()
        self._asked = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(self._work)
            nursery.start_soon(self._erase)
            async with trio.open_nursery() as askers:
                for _ in range(ASKERS):
                    askers.start_soon(self._ask)
                askers.start_soon(self._ask_about_doomed)
            self._asked.set()
        # What a job had in hand is erased by a later sweep, as those of the engine.
        await self._eraser.sweep(TENANT, DOOMED, everything=True)
        assert await self._doomed() == 0
        self.erased += 1

    async def _fold(self) -> None:
        dice = self._dice
        await self._counting.fold(some_clicks(dice, dice.choice([5, 60]), FIRST, 20))
        # A burst makes its day a large one; it may be today.
        day = FIRST + timedelta(days=dice.randrange(1, 21) - 0.1)
        await self._counting.fold(some_clicks(dice, 50, day, 0.02))
        kept = len(self._counting.clicks)
        doomed = [one._replace(profile_id=DOOMED) for one in some_clicks(dice, 80, FIRST, 20)]
        await in_asyncio(_set_profile, self._url, True)
        await self._counting.fold(doomed)
        del self._counting.clicks[kept:]
        self._doomed_clicks = await self._doomed()

    async def _ask(self) -> None:
        dice = random.Random(self._dice.random())
        # The job of months gives every day's visitors the sketch of their month.
        await ask(self._counting, dice, FIRST, NOW, exact_visitors=False)
        self.asked += QUESTIONS

    async def _ask_about_doomed(self) -> None:
        """Its clicks become fewer, and none comes back."""
        before = self._doomed_clicks
        for _ in range(QUESTIONS):
            after = await self._doomed()
            assert 0 <= after <= before
            before = after
            self.asked += 1

    async def _doomed(self) -> int:
        answer = await self._counting.reader.stats(TENANT, DOOMED, everything())
        return answer.totals.clicks + answer.totals.views

    async def _erase(self) -> None:
        await in_asyncio(_set_profile, self._url, False)
        await self._eraser.sweep(TENANT, DOOMED, everything=True)

    async def _work(self) -> None:
        dice, database = random.Random(self._dice.random()), self._counting.aggregator
        while not self._asked.is_set():
            match dice.choice(["settle", "settle", "settle", "compact", "months", "rebuild"]):
                case "settle":
                    days = await days_with_deltas(database)
                    some = dice.sample(days, len(days) // 2)
                    await settle(database, some, pack_few=dice.random() < 0.5)
                case "compact":
                    await compact(database, lambda done, of: None)
                case "months":
                    await pack_months(database, DAYS[-1], lambda done: None)
                case "rebuild":
                    day = ProfileDay(TENANT, PROFILE, dice.choice(DAYS))
                    await DayRebuild(database).rebuild(day)
            self.jobs += 1


def everything() -> StatsQuery:
    return parse_query(ALL, NOW)


async def _set_profile(url: str, exists: bool) -> None:
    """Create the doomed profile, or delete it with a request for its erasure."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica"
        )
        if exists:
            await connection.execute("DELETE FROM erasures")
            await connection.execute(
                "INSERT INTO profiles (id, tenant_id, handle, title, raw_retention_days) "
                f"VALUES ({DOOMED}, {TENANT}, 'doomed', '', 3650)"
            )
        else:
            await connection.execute(f"DELETE FROM profiles WHERE id = {DOOMED}")
            await connection.execute(
                f"INSERT INTO erasures (tenant_id, profile_id) VALUES ({TENANT}, {DOOMED})"
            )
    finally:
        await connection.close()


@pytest.fixture
async def counting(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counting]:
    monkeypatch.setattr(settling, "HOT_CLICKS", 40)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 150)  # so that days are thin, then hot
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 30)
    today = {**settling._SQL, "today": f"SELECT date '{NOW:%Y-%m-%d}'"}
    monkeypatch.setattr(settling, "_SQL", today)
    await in_asyncio(add_profile, database_url)
    aggregator = await Database.open(
        database_url, role="waypost_aggregator", size=6, query_timeout_ms=10_000
    )
    app = await Database.open(
        database_url, role="waypost_app", size=ASKERS + 1, query_timeout_ms=10_000
    )
    yield Counting(PostgresClickLedger(aggregator), aggregator, PostgresStatsReader(app), [])
    await aggregator.close()
    await app.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(redis_url, size=2)
    yield server
    await server.close()


async def ask_amid(
    url: str, counting: Counting, redis: RedisServer, seed: int, rounds: int
) -> Amid:
    amid = Amid(url, counting, Eraser(counting.aggregator, redis), random.Random(seed))
    for _ in range(rounds):
        await amid.round()
    assert amid.erased == rounds
    return amid


async def test_answers_amid_jobs_and_an_erasure_are_exact(
    database_url: str, counting: Counting, redis: RedisServer
) -> None:
    amid = await ask_amid(database_url, counting, redis, 1, 1)
    assert amid.jobs > 0


@pytest.mark.large
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2, 22))
async def test_three_thousand_answers_amid_jobs_and_erasures_are_exact(
    database_url: str, counting: Counting, redis: RedisServer, seed: int
) -> None:
    """180 questions of each seed."""
    amid = await ask_amid(database_url, counting, redis, seed, 10)
    print(f"{amid.asked} questions amid {amid.jobs} jobs")  # noqa: T201
    assert amid.asked >= 150
