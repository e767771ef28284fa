"""What has ended and is kept no longer: sessions, API keys, invitations."""

from typing import Final

from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("accounts/purge")
PURGED_AT_ONCE: Final = 1000


class AccountsPurge:
    """Over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge_sessions(self) -> None:
        await self._purge("purge_sessions")

    async def purge_keys(self) -> None:
        await self._purge("purge_keys")

    async def purge_invitations(self) -> None:
        await self._purge("purge_invitations")

    async def _purge(self, name: str) -> None:
        async def work(connection: Connection) -> str:
            return await connection.execute(_SQL[name], PURGED_AT_ONCE)

        while await self._database.transaction(work) == f"DELETE {PURGED_AT_ONCE}":
            pass
