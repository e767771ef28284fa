"""The servers that a backup is restored into: as new ones are, or refused."""

from typing import Final, NamedTuple

from engine.operations.backup import BackupError
from storage.bridge import in_asyncio
from storage.operations.backup_snapshot import map_errors, require_all_rows, require_session
from storage.postgres import queries
from storage.postgres.connect import CONNECT_S, connect
from storage.redis.client import RedisServer

_SQL: Final = queries.load("operations/restore_servers")


class TargetDatabase(NamedTuple):
    """The server's server_version_num, and the comment of a schema that an earlier restore has loaded."""

    server_version: int
    comment: str


async def target_database(url: str) -> TargetDatabase:
    """Read what the database has. Raises BackupError for a user without the rights, UnavailableError."""

    async def ask() -> TargetDatabase:
        connection = await connect(url, "waypost restore")
        try:
            await require_session(connection)
            await require_all_rows(connection)
            (row,) = await connection.fetch(_SQL["target"])
            return TargetDatabase(*row)
        finally:
            await connection.close(timeout=CONNECT_S)

    return await in_asyncio(map_errors, ask)


async def require_empty_database(url: str) -> None:
    """Raise BackupError if the database has a tenant or a journal. A schema without any is fine."""

    async def ask() -> None:
        connection = await connect(url, "waypost restore")
        try:
            if not await connection.fetchval(_SQL["has_schema"]):
                return
            if await connection.fetchval(_SQL["has_rows"]):
                raise BackupError(
                    "the database of DATABASE_URL is not empty: create a new one, and name it there"
                )
        finally:
            await connection.close(timeout=CONNECT_S)

    await in_asyncio(map_errors, ask)


async def require_empty_redis(url: str) -> None:
    """Raise BackupError if Redis has a key: another engine may be shipping clicks there. UnavailableError."""
    server = await RedisServer.open(url, size=2)
    try:
        reply: object = await server.run(server.commands.dbsize)
        keys = sum(reply.values()) if isinstance(reply, dict) else reply
    finally:
        await server.close()
    if keys:
        raise BackupError(
            f"the Redis of REDIS_URL is not empty ({keys} keys): name a new one, or a new database of it"
        )
