"""Verified domains for edges, from Postgres."""

from typing import Final

from engine.visits.domain_host import DomainHost
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("visits/domains")


class PostgresDomainSource:
    """DomainSource over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> str:
        async def work(connection: Connection) -> str:
            return str(await connection.fetchval(_SQL["version"]))

        return await self._database.transaction(work, read_only=True)

    async def domains(self, limit: int) -> dict[bytes, DomainHost]:
        async def work(connection: Connection) -> dict[bytes, DomainHost]:
            rows = await connection.fetch(_SQL["domains"], limit)
            return {
                host.encode(): DomainHost(*(value.encode() for value in values))
                for host, *values in rows
            }

        return await self._database.transaction(work, read_only=True)
