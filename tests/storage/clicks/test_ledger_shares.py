"""Shares of journals by live aggregators, in memory and on Postgres."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import trio

from engine.stats.ledger_ports import ClickLedger
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.postgres.database import Connection, Database
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def ledger(url: str | None) -> AsyncIterator[ClickLedger]:
    if url is None:
        yield MemoryClickLedger(MemoryClickTables(), trio.current_time)
        return
    database = await opened(url)
    yield PostgresClickLedger(database)
    await database.close()


async def opened(url: str) -> Database:
    return await Database.open(url, role="waypost_aggregator", size=4, query_timeout_ms=5_000)


async def test_shares_follow_live_owners_and_leasable_journals(ledger: ClickLedger) -> None:
    journals = [uuid4() for _ in range(6)]
    for journal_id in journals:
        await ledger.register(journal_id)
    await ledger.delete_journal(journals.pop())
    assert await ledger.share("one", 60) == (5, 0, 5)
    leases = await ledger.lease("one", 4, 60)
    assert await ledger.share("two", 60) == (2, 0, 1)
    assert await ledger.share("two", 60, [leases[0].journal_id]) == (2, 0, 1)
    assert await ledger.share("one", 60, [leases[0].journal_id]) == (3, 3, 2)
    assert await ledger.share("dead", 0) == (2, 0, 2)
    assert await ledger.share("one", 60) == (3, 3, 2)
    await ledger.release("one")
    assert await ledger.share("two", 60) == (5, 0, 5)


@pytest.mark.parametrize("days", [0, 2])
async def test_aggregators_that_died_are_purged_after_a_day(database_url: str, days: int) -> None:
    async def age(connection: Connection) -> None:
        await connection.execute(
            "UPDATE aggregators SET expires = expires - make_interval(days => $1)", days
        )

    async def count(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT count(*) FROM aggregators"))

    database = await opened(database_url)
    ledger = PostgresClickLedger(database)
    await ledger.share("died", 1)
    await database.transaction(age)
    await ledger.purge_retired()
    assert await database.transaction(count) == (0 if days else 1)
    await database.close()


async def test_shares_and_leases_come_in_one_transaction(ledger: ClickLedger) -> None:
    for _ in range(4):
        await ledger.register(uuid4())
    await ledger.share("other", 60)
    share, leases = await ledger.renew("one", 60, (), lambda share: share.fair)
    assert share == (2, 0, 4)
    assert len(leases) == 2
    handed_over = [leases[0].journal_id]
    share, renewed = await ledger.renew("one", 60, handed_over, lambda share: share.leased)
    assert (share.leased, renewed) == (1, [leases[1]])


async def test_a_lease_is_written_again_only_when_half_of_it_is_over(database_url: str) -> None:
    """An idle journal costs a row version each half of the time to live, and not each second."""

    async def renewed(left_s: int) -> bool:
        async def work(connection: Connection) -> bool:
            await connection.execute(
                "UPDATE journals SET lease_expires = clock_timestamp() + make_interval(secs => $1)",
                left_s,
            )
            return True

        assert await database.transaction(work)
        before = await database.transaction(expiry)
        assert [lease.journal_id for lease in await ledger.lease("one", 1, 60)] == [journal_id]
        return bool(await database.transaction(expiry) != before)

    async def expiry(connection: Connection) -> object:
        return await connection.fetchval("SELECT lease_expires FROM journals")

    database = await opened(database_url)
    ledger, journal_id = PostgresClickLedger(database), uuid4()
    await ledger.register(journal_id)
    await ledger.lease("one", 1, 60)
    assert [await renewed(left_s) for left_s in (59, 32, 28, 1, -1)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    await database.close()
