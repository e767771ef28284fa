"""Leases of clicks in Postgres: one row of a link, changed by functions that edges may call."""

from collections.abc import Sequence
from typing import Final

from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("visits/click_quotas")


class PostgresClickQuotas:
    """ClickQuotaStore over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(self, links: Sequence[tuple[int, int]]) -> dict[int, int]:
        tenants, ids = zip(*sorted(links, key=lambda link: link[1]), strict=True)

        async def work(connection: Connection) -> dict[int, int]:
            rows = await connection.fetch(_SQL["lease"], tenants, ids)
            return {row["link_id"]: row["granted"] for row in rows}

        return await self._database.transaction(work)

    async def give_back(self, unused: Sequence[tuple[int, int, int]]) -> None:
        columns = zip(*sorted(unused, key=lambda link: link[1]), strict=True)

        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["give_back"], *columns)

        await self._database.transaction(work)
