"""The database snapshot of a backup: one moment of Postgres, which pg_dump and the counts share.

The transaction locks the partitions of clicks against being dropped, then takes its snapshot and exports it.
Its connection has no role set: row-level security is forced on every table, so only a superuser or a login
with BYPASSRLS sees all rows, and any other one would get a backup of nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Self, TypeVar
from uuid import UUID

import asyncpg

from engine.common.errors import UnavailableError
from engine.operations.backup import BackupError
from storage.bridge import in_asyncio
from storage.clicks.held_segments import JournalState
from storage.postgres import queries
from storage.postgres.connect import CONNECT_S, connect
from storage.postgres.database import Connection
from storage.postgres.session import is_pooled

T = TypeVar("T")
SQL: Final = queries.load("operations/backup_snapshot")
LOCK_WAIT_S: Final = 30


class BackupSnapshot:
    """A connection with at most one open snapshot. Every method raises UnavailableError or BackupError.

    `server_version` is the server_version_num, such as 170010, once a snapshot was taken.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self.id = ""
        self.moment = datetime.min
        self.server_version = 0
        self.journals: dict[UUID, JournalState] = {}

    @classmethod
    async def open(cls, url: str) -> Self:
        async def checked() -> "asyncpg.Connection[asyncpg.Record]":
            connection = await connect(url, "waypost backup")
            try:
                await require_session(connection)
                await require_all_rows(connection)
                await connection.execute(SQL["keep_pictures"])
            except BaseException:
                await connection.close(timeout=CONNECT_S)
                raise
            return connection

        return cls(await in_asyncio(map_errors, checked))

    async def take(self) -> None:
        """End the snapshot that is open, and take another one."""

        async def work() -> None:
            connection = self._connection
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
            await connection.execute(SQL["begin"])
            await connection.execute(SQL["lift_limits"])
            await connection.execute(SQL["lock_partitions"])
            (row,) = await connection.fetch(SQL["export"])
            self.id, self.moment, self.server_version = row
            rows = await connection.fetch(SQL["journals"])
            self.journals = {row["journal_id"]: JournalState(*row[1:]) for row in rows}

        await in_asyncio(map_errors, work)

    async def count_rows(self) -> dict[str, int]:
        """Return the rows of each table in the snapshot; each partition is a table of its own."""

        async def work() -> dict[str, int]:
            tables = [row["name"] for row in await self._connection.fetch(SQL["tables"])]
            return {
                row["name"]: row["rows"]
                for row in await self._connection.fetch(counting_query(tables))
            }

        return await in_asyncio(map_errors, work)

    async def pictures(self) -> list[str]:
        """Return the hashes of the pictures' files that are in use. No one deletes them until close()."""

        async def work() -> list[str]:
            return [row["hash"] for row in await self._connection.fetch(SQL["pictures"])]

        return await in_asyncio(map_errors, work)

    async def close(self) -> None:
        await in_asyncio(_close, self._connection)


def counting_query(tables: Sequence[str]) -> str:
    """Return a query of (name, rows) of tables, whose names must be of letters, digits and underlines."""
    return " UNION ALL ".join(
        f"SELECT '{table}' AS name, count(*) AS rows FROM waypost.\"{table}\""  # noqa: S608
        for table in tables
    )


async def require_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Raise BackupError if a pooler is in between: pg_dump and psql need a session of Postgres."""
    if await is_pooled(connection):
        raise BackupError(
            "DATABASE_URL leads to a pooler: set WAYPOST_DATABASE_DIRECT_URL to Postgres itself"
        )


async def require_all_rows(connection: Connection) -> None:
    """Raise BackupError unless the login user sees the rows of all tenants."""
    if not await connection.fetchval(SQL["sees_all_rows"]):
        user = await connection.fetchval("SELECT session_user")
        raise BackupError(
            f"the database user {user} does not see all rows, as row-level security is forced: name a "
            f"superuser in DATABASE_URL, or let one run ALTER ROLE {user} BYPASSRLS"
        )


async def map_errors(work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `work`. Raises BackupError or UnavailableError in place of the driver's errors."""
    try:
        return await work()
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise BackupError(f"the database has no schema of Waypost ({error})") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise BackupError(f"the database user may not read all tables: {error}") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(
            f"Postgres does not answer: {error or type(error).__name__}"
        ) from error


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=CONNECT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
