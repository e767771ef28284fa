"""Archives of profiles: the profile's rows of every table that has a profile, found in Postgres' catalogue.

So an archive has tables that are added later, too. Packed clicks follow, a row for each click, unpacked piece
by piece in a thread. It is read from one database snapshot, in bounded memory, as the console's role: row-level
security and column grants keep secrets out of it.
"""

from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import asyncpg
import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.limits.tenant_slots import TenantSlots
from engine.links.imports.archive_records import ARCHIVE_FORMAT
from engine.stats.packed.packed_rows import packed_rows
from engine.stats.packed.profile_clicks import ProfileClicks
from storage.accounts.access import ProfileAccess, enter_profile
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.pieces import pieces_of

MAX_AT_ONCE: Final = 2  # each holds a connection
MAX_OF_TENANT: Final = 1
# A row of the log of changes may have two links of 100 KB.
ROWS_AT_ONCE: Final = 100
CLICKS_AT_ONCE: Final = 1_000
SQL: Final = queries.load("privacy/archive")


class PostgresArchiveSource:
    """`ArchiveSource`, over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slots = TenantSlots("archives", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    async def check(self, caller: Caller, profile_id: int) -> None:
        async def work(connection: Connection) -> ProfileAccess:
            return await enter_profile(connection, caller, profile_id, Action.ARCHIVE)

        await self._database.transaction(work, caller=caller, read_only=True)

    async def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        with self._slots.taken(caller.tenant_id):
            async with self._database.snapshot(caller) as snapshot:

                async def enter(
                    connection: Connection,
                ) -> tuple[ProfileAccess, list[tuple[str, str, str]]]:
                    access = await enter_profile(connection, caller, profile_id, Action.ARCHIVE)
                    rows = await connection.fetch(SQL["tables"])
                    return access, [
                        (row["of_table"], row["archived_as"], row["columns"]) for row in rows
                    ]

                access, tables = await snapshot.run(enter)
                yield _line({"waypost": "archive", "format": ARCHIVE_FORMAT, "profile_id": str(profile_id),
                             "at": datetime.now(UTC)})  # fmt: skip
                count = 0
                for table, archived_as, columns in tables:
                    key = "id" if table == "profiles" else "profile_id"
                    statement = (
                        f"SELECT to_jsonb(r)::text FROM (SELECT {columns} FROM {table} "  # noqa: S608  # from the catalogue
                        f"WHERE tenant_id = $1 AND {key} = $2) AS r"
                    )
                    async for rows in snapshot.rows(
                        statement, access.tenant_id, profile_id, chunk_rows=ROWS_AT_ONCE
                    ):
                        count += len(rows)
                        yield b"".join(
                            b'{"table":"%b","row":%b}\n' % (archived_as.encode(), row[0].encode())
                            for row in rows
                        )
                pieces = snapshot.rows(
                    SQL["packed_clicks"], access.tenant_id, profile_id, chunk_rows=1
                )
                async for rows in pieces:
                    clicks = await trio.to_thread.run_sync(_unpacked, rows)
                    archived = packed_rows(clicks)
                    while lines := await trio.to_thread.run_sync(_lines, archived):
                        count += len(lines)
                        yield b"".join(lines)
                yield _line({"end": True, "rows": count})


def _unpacked(rows: list[asyncpg.Record]) -> ProfileClicks:
    return ProfileClicks(pieces_of(rows))


def _lines(archived: Iterator[dict[str, object]]) -> list[bytes]:
    """Return lines of the next CLICKS_AT_ONCE packed clicks."""
    return [
        _line({"table": "packed_clicks", "row": row}) for row in islice(archived, CLICKS_AT_ONCE)
    ]


def _line(value: dict[str, object]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
