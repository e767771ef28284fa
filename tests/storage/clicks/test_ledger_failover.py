"""The ledger on a database that went back: leases, tokens, journals that are complete, and cached texts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import trio

from engine.common.errors import UnavailableError
from engine.stats.ledger_ports import ClickLedger
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.postgres.database import Connection, Database
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TEN = [click(link_id=5 + n % 2, user_agent=b"agent %d" % (n % 3)) for n in range(10)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(
        database_url, role="waypost_aggregator", size=2, query_timeout_ms=5_000
    )
    yield database
    await database.close()


@pytest.fixture(params=["memory", "postgres"])
async def ledger(request: pytest.FixtureRequest, database: Database) -> ClickLedger:
    if request.param == "postgres":
        return PostgresClickLedger(database)
    return MemoryClickLedger(MemoryClickTables(), trio.current_time)


async def test_a_complete_journal_is_leased_only_while_it_is_behind(ledger: ClickLedger) -> None:
    """A database that went back is leased again by itself."""
    journal_id = uuid4()
    await ledger.register(journal_id)
    await ledger.complete(journal_id, 10)
    (lease,) = await ledger.lease("one", 9, 60)
    lease = await ledger.commit(lease, [batch(1, TEN)])
    assert lease.folded == 10
    assert await ledger.lease("one", 9, 60) == []
    assert await ledger.lease("two", 9, 60) == []
    await ledger.complete(journal_id, 11)
    (again,) = await ledger.lease("one", 9, 60)
    assert again.folded == 10
    await ledger.complete(journal_id, 10)
    assert await ledger.lease("one", 9, 60) == []
    await ledger.register(journal_id)  # its next shipper may find more
    assert len(await ledger.lease("one", 9, 60)) == 1


async def test_watermarks_of_several_journals(ledger: ClickLedger) -> None:
    counted, unknown = uuid4(), uuid4()
    await ledger.register(counted)
    (lease,) = await ledger.lease("one", 9, 60)
    await ledger.commit(lease, [batch(1, TEN)])
    assert await ledger.watermarks_of([unknown, counted]) == {counted: 10}


async def test_a_token_grows_with_each_holder_and_is_a_time(ledger: ClickLedger) -> None:
    """A count would be given again by a database that went back to before the last holders."""
    await ledger.register(uuid4())
    tokens = []
    for owner in ("one", "two", "three"):
        (lease,) = await ledger.lease(owner, 9, 60)
        tokens.append(lease.fencing_token)
        await ledger.release(owner)
    assert tokens == sorted(set(tokens))
    assert tokens[0] != 1


async def test_another_server_gets_texts_that_it_may_lack(database: Database) -> None:
    """A promoted standby has lost them with the commits that brought them."""
    ledger = PostgresClickLedger(database)

    async def agents() -> int:
        async def work(connection: Connection) -> int:
            return int(await connection.fetchval("SELECT count(*) FROM user_agents"))

        return await database.transaction(work)

    await ledger.register(uuid4())
    (lease,) = await ledger.lease("one", 1, 60)
    lease = await ledger.commit(lease, [batch(1, TEN)])
    await database.transaction(lambda connection: connection.execute("DELETE FROM user_agents"))
    ledger._started_at = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(UnavailableError):
        await ledger.commit(lease, [batch(11, TEN)])
    assert await agents() == 0
    moved = await ledger.commit(lease, [batch(11, TEN)])
    assert (moved.folded, await agents()) == (20, 3)
