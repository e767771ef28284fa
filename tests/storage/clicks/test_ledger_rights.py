"""A ledger whose role lacks a right: clicks wait until it has it again, and no batch is to blame."""

from uuid import uuid4

import asyncpg
import pytest

from engine.common.errors import UnavailableError
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_a_fold_without_a_right_waits_for_it(
    open_database: OpenDatabase, database_url: str
) -> None:
    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    ledger = PostgresClickLedger(await open_database("waypost_aggregator"))
    await ledger.register(uuid4())
    (lease,) = await ledger.lease("one", 1, 60)
    for table in ("clicks", "click_deltas"):
        await in_asyncio(execute, f"REVOKE INSERT ON waypost.{table} FROM waypost_aggregator")
        with pytest.raises(UnavailableError, match=f"refuses to count clicks.*{table}"):
            await ledger.commit(lease, [batch(1, [click()])])
        await in_asyncio(execute, f"GRANT INSERT ON waypost.{table} TO waypost_aggregator")
    assert (await ledger.commit(lease, [batch(1, [click()])])).folded == 1
