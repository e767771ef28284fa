"""Shares of the pool: transactions of one tenant leave connections to the others."""

import asyncio
from contextlib import AsyncExitStack

import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import TooSoonError
from storage.bridge import in_asyncio
from storage.postgres import tenant_shares
from storage.postgres.database import Connection, Database
from storage.postgres.tenant_shares import REFUSED
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

GREEDY, OTHER = Caller(1, 1), Caller(2, 2)
POOL = 4


class Slow:
    """Transactions of GREEDY that hold their connections until `release`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.released = asyncio.Event()
        self.running = 0
        self.done = 0

    async def work(self, _: Connection) -> None:
        self.running += 1
        await self.released.wait()
        self.running -= 1

    async def run(self) -> None:
        await self.database.transaction(self.work, caller=GREEDY)
        self.done += 1

    async def release(self) -> None:
        async def work() -> None:
            self.released.set()

        await in_asyncio(work)


async def tenant(connection: Connection) -> str:
    setting: str = await connection.fetchval("SELECT current_setting('waypost.tenant')")
    return setting


def refused(database: Database) -> float:
    return next(sample.value for sample in database.samples() if sample.name == REFUSED.name)


async def test_slow_transactions_of_a_tenant_keep_no_other_waiting(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("waypost_app", size=POOL)
    slow = Slow(database)
    async with trio.open_nursery() as nursery:
        for _ in range(3 * POOL):
            nursery.start_soon(slow.run)
        with trio.fail_after(20):
            while slow.running < POOL // 2:  # noqa: ASYNC110  # nothing announces it
                await trio.sleep(0.01)
            assert await database.transaction(tenant, caller=OTHER) == "2"
            async with database.snapshot(OTHER) as snapshot:
                assert await snapshot.run(tenant) == "2"
        assert slow.running == POOL // 2
        await slow.release()
    assert (slow.done, refused(database)) == (3 * POOL, 0)


async def test_more_waiting_transactions_than_the_bound_are_refused_at_once(
    open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_shares, "MAX_WAITING", 3)
    database = await open_database("waypost_app", size=POOL)
    slow = Slow(database)
    async with trio.open_nursery() as nursery:
        for _ in range(POOL // 2 + 3):
            nursery.start_soon(slow.run)
        with trio.fail_after(20):
            while slow.running < POOL // 2:  # noqa: ASYNC110  # nothing announces it
                await trio.sleep(0.01)
        with pytest.raises(TooSoonError, match="send fewer at once"):
            await database.transaction(tenant, caller=GREEDY)
        assert refused(database) == 1
        await slow.release()
    assert await database.transaction(tenant, caller=GREEDY) == "1"


async def test_a_transaction_waits_for_its_share_no_longer_than_for_a_statement(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("waypost_app", size=POOL, query_timeout_ms=300)
    async with AsyncExitStack() as snapshots:
        for _ in range(POOL // 2):
            await snapshots.enter_async_context(database.snapshot(GREEDY))
        with pytest.raises(TooSoonError):
            await database.transaction(tenant, caller=GREEDY)
        assert await database.transaction(tenant, caller=OTHER) == "2"
    assert await database.transaction(tenant, caller=GREEDY) == "1"
