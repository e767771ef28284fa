"""Settling under races and kills: no snapshot loses or doubles a click, and sabotaged jobs are noticed."""

import random
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from engine.stats.profile_day import ProfileDay
from storage.bridge import in_asyncio
from storage.clicks import ledger
from storage.postgres.database import Connection, Database
from storage.stats import settling
from storage.stats.deltas import Delta, add_deltas
from tests.kit.counting_races import FIRST, PROFILES, Races
from tests.kit.hosted import hosted_run
from tests.kit.stats_database import days_with_deltas, fold, random_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

# Longer than a transaction takes on a busy machine.
LOCK_MS = 5_000
Sabotage = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
async def race(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[int], Races]]:
    """Yield a function that makes races of a number of folds. Commits are late at times."""
    monkeypatch.setattr(settling, "HOT_CLICKS", 60)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    dice = random.Random(1)

    async def late(connection: Connection, deltas: list[Delta]) -> None:
        await add_deltas(connection, deltas)
        if dice.random() < 0.2:
            await connection.execute("SELECT pg_sleep($1)", dice.random() * 0.05)

    monkeypatch.setattr(ledger, "add_deltas", late)
    await in_asyncio(_add_profiles, database_url)
    app = await Database.open(database_url, role="waypost_app", size=2, query_timeout_ms=5_000)
    aggregator = await Database.open(
        database_url, role="waypost_aggregator", size=12, query_timeout_ms=5_000
    )
    yield lambda folds: Races(database_url, app, aggregator, folds)
    await app.close()
    await aggregator.close()


async def _add_profiles(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica"
        )
        await connection.executemany(
            "INSERT INTO profiles (id, tenant_id, handle, title, raw_retention_days) "
            "VALUES ($1, 1, $2, '', 3650)",
            [(profile_id, f"profile{profile_id}") for profile_id in PROFILES],
        )
    finally:
        await connection.close()


async def test_no_snapshot_loses_or_doubles_a_click(race: Callable[[int], Races]) -> None:
    races = race(40)
    await races.run(1)
    assert races.wrong == []
    assert races.seen["read"] > 10


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield a database whose waits for a lock end after LOCK_MS, so that a lock too many fails the test."""
    database = await Database.open(
        database_url, role="waypost_aggregator", size=2, query_timeout_ms=LOCK_MS
    )
    yield database
    await database.close()


async def test_a_day_that_a_job_has_is_left_to_it(database: Database) -> None:
    await fold(database, random_clicks(random.Random(1), 30, FIRST, 3))
    days = await days_with_deltas(database)
    await settling.settle(database, days)  # which makes the rows that are locked

    async def settle_meanwhile(connection: Connection) -> None:
        assert await settling.lock_days(connection, days[:2]) == dict.fromkeys(days[:2], False)
        await database.second_transaction(
            lambda second: settling._settle(second, days, pack_few=True)
        )

    await database.transaction(settle_meanwhile)
    assert await days_with_deltas(database) == days[:2]
    clicks, _ = await settling.settle(database, days, pack_few=True)
    assert clicks > 0
    assert await days_with_deltas(database) == []


@pytest.mark.large
@pytest.mark.parametrize("seed", range(4))
async def test_long_races_lose_and_double_no_click(race: Callable[[int], Races], seed: int) -> None:
    races = race(600)
    await races.run(seed)
    print(dict(races.seen))  # noqa: T201
    assert races.wrong == []
    assert min(races.seen[act] for act in ("stale", "months", "unavailable", "_recount")) > 3


def _keep_deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    query = (
        "SELECT d.tenant_id, d.profile_id, d.day, d.data FROM click_deltas AS d "
        "JOIN unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day) "
        "USING (tenant_id, profile_id, day) WHERE $4 > 0"
    )
    monkeypatch.setattr(settling, "_SQL", {**settling._SQL, "take_deltas": query})


def _keep_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    query = (
        "SELECT s.* FROM click_segments AS s "
        "JOIN unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day) "
        "USING (tenant_id, profile_id, day) WHERE s.days = 1 AND NOT s.in_tables"
    )
    monkeypatch.setattr(settling, "_SQL", {**settling._SQL, "take_segments": query})


def _take_no_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a day's segment were written anew without the one before."""
    delete = settling._SQL["take_segments"].replace("RETURNING s.*", "")

    async def lossy(connection: Connection, pieces: dict[ProfileDay, list[object]]) -> None:
        await connection.execute(delete, *zip(*pieces, strict=True))

    monkeypatch.setattr(settling, "_add_segments_of", lossy)


@pytest.mark.parametrize(
    "sabotage",
    [
        _keep_deltas,
        _keep_segments,
        _take_no_segments,
    ],
)
async def test_a_sabotaged_job_is_noticed(
    race: Callable[[int], Races], monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage
) -> None:
    """By a snapshot that is wrong, or by Postgres, which refuses a second segment of the same part."""
    sabotage(monkeypatch)
    races = race(600)
    try:
        await races.run(2)
    except BaseExceptionGroup as errors:
        refused, others = errors.split(asyncpg.UniqueViolationError)
        assert refused is not None
        assert others is None
    else:
        assert races.wrong
