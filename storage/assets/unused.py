"""Files that no asset has, in Postgres: of deleted assets and profiles, and of uploads that did not end."""

from collections.abc import Sequence
from typing import Final

from engine.assets.asset import CLAIM_S
from engine.assets.ports import UnusedFiles
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("assets/unused")


class PostgresUnusedFilesStore:
    """`UnusedFilesStore`, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, limit: int) -> list[UnusedFiles]:
        async def work(connection: Connection) -> list[UnusedFiles]:
            rows = await connection.fetch(_SQL["claim"], limit, CLAIM_S)
            return [UnusedFiles(row["tenant_id"], row["hash"]) for row in rows]

        return await self._database.transaction(work)

    async def forget(self, files: Sequence[UnusedFiles]) -> None:
        keys = [file.tenant_id for file in files], [file.hash for file in files]
        await self._database.transaction(
            lambda connection: connection.execute(_SQL["forget"], *keys)
        )
