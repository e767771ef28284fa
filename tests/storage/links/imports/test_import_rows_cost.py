"""Cost of an import: it reads a profile once, not for each row, also without statistics of its table."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.links.ports import ImportRow
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

ROWS = 300
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'links'"


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_an_import_into_one_profile_reads_as_many_links_as_it_has(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(stores.bulk, PostgresLinkImporter)
    database = stores.bulk._database
    transaction = database.transaction
    read: list[int] = []

    async def counted(work: Callable[[Connection], Awaitable[Any]], **options: Any) -> Any:
        async def both(connection: Connection) -> Any:
            result = await work(connection)
            read.append(await connection.fetchval(READ))
            return result

        return await transaction(both, **options)

    monkeypatch.setattr(database, "transaction", counted)
    for first in (0, ROWS):
        rows = [
            ImportRow(
                n,
                "a",
                f"s{n}",
                f"https://example.com/{n}",
                "",
                fields={"external_id": f"e{n}", "short": False},
            )
            for n in range(first, first + ROWS)
        ]
        assert (await stores.bulk.import_rows(stores.caller, rows)).created == ROWS
    assert len(read) == 2
    assert max(read) <= 6 * ROWS
