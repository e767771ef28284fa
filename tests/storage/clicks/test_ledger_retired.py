"""Rows of journals that were deleted: purged late enough, and never the newest."""

from typing import Any
from uuid import uuid4

import pytest

from storage.clicks.ledger import PostgresClickLedger
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_a_retired_journal_is_purged_after_a_day_but_never_the_newest(
    open_database: OpenDatabase,
) -> None:
    """The row of a purged journal has no watermark: were its batches shipped again, they would count twice.
    The newest row says how fresh the counts are."""
    database = await open_database("waypost_aggregator")
    ledger = PostgresClickLedger(database)

    async def fetchval(query: str, *values: object) -> Any:
        return await database.transaction(lambda connection: connection.fetchval(query, *values))

    # Hours since it was retired (None: in use), and since its last commit (None: it had no click).
    ages = [(25, 50), (23, 49), (None, 48), (None, None), (25, None), (23, None), (25, 40)]
    journals = [uuid4() for _ in ages]
    for journal_id, (retired_h, committed_h) in zip(journals, ages, strict=True):
        await ledger.register(journal_id)
        await fetchval(
            "UPDATE journals SET retired_at = now() - $2 * interval '1 hour', "
            "committed_at = now() - $3 * interval '1 hour' WHERE journal_id = $1 RETURNING true",
            journal_id, retired_h, committed_h,
        )  # fmt: skip
    await ledger.purge_retired()
    kept = await fetchval("SELECT array_agg(journal_id) FROM journals")
    assert set(kept) == {*journals[1:4], journals[5], journals[6]}
