"""All that is kept of a profile, for whoever owns it: every table that names it, found in the catalogue.

So a table that is added later is in the archive too. It is one snapshot, read by a cursor in bounded memory,
under the row-level security and the column grants of the console's role: what the console cannot read, as
secrets, is in no archive.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Final

import orjson
import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import UnavailableError
from engine.links.import_rows import ARCHIVE_FORMAT
from storage.accounts.access import ProfileAccess, enter_profile
from storage.postgres import queries
from storage.postgres.database import Connection, Database

MAX_AT_ONCE: Final = 2  # each holds a connection
SQL: Final = queries.load("privacy/archive")


class PostgresArchiveSource:
    """`ArchiveSource`, over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places = trio.CapacityLimiter(MAX_AT_ONCE)

    async def check(self, caller: Caller, profile_id: int) -> None:
        async def work(connection: Connection) -> ProfileAccess:
            return await enter_profile(connection, caller, profile_id, Action.ARCHIVE)

        await self._database.transaction(work, caller=caller, read_only=True)

    async def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        borrower = object()
        try:
            self._places.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            raise UnavailableError(
                f"{MAX_AT_ONCE} archives are being written; try again later"
            ) from None
        try:
            async with self._database.snapshot(caller) as reading:

                async def enter(
                    connection: Connection,
                ) -> tuple[ProfileAccess, list[tuple[str, str, str]]]:
                    place = await enter_profile(connection, caller, profile_id, Action.ARCHIVE)
                    rows = await connection.fetch(SQL["tables"])
                    return place, [
                        (row["of_table"], row["archived_as"], row["columns"]) for row in rows
                    ]

                place, tables = await reading.run(enter)
                yield _line({"waypost": "archive", "format": ARCHIVE_FORMAT, "profile_id": str(profile_id),
                             "at": datetime.now(UTC)})  # fmt: skip
                count = 0
                for table, archived_as, columns in tables:
                    key = "id" if table == "profiles" else "profile_id"
                    statement = (
                        f"SELECT to_jsonb(r)::text FROM (SELECT {columns} FROM {table} "  # noqa: S608  # of the catalogue
                        f"WHERE tenant_id = $1 AND {key} = $2) AS r"
                    )
                    async for rows in reading.rows(statement, place.tenant_id, profile_id):
                        count += len(rows)
                        yield b"".join(
                            b'{"table":"%b","row":%b}\n' % (archived_as.encode(), row[0].encode())
                            for row in rows
                        )
                yield _line({"end": True, "rows": count})
        finally:
            self._places.release_on_behalf_of(borrower)


def _line(value: dict[str, object]) -> bytes:
    return orjson.dumps(value) + b"\n"
