"""Verified domains for edges, from Postgres."""

from typing import Final

from engine.links.slugs.slug_rules import SlugFeature
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
            return {host.encode(): _domain_host(*values) for host, *values in rows}

        return await self._database.transaction(work, read_only=True)


def _domain_host(
    handle: str, root_target: str, not_found_target: str, slugs: list[SlugFeature]
) -> DomainHost:
    targets = root_target.encode(), not_found_target.encode()
    return DomainHost(handle.encode(), *targets, frozenset(slugs))
