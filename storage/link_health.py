"""Checks of links' targets in Postgres, as workers see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from engine.link_health import Check, Checked
from engine.ports_health import START, Place
from storage import sql
from storage.postgres import Connection, Database

SQL: Final = sql.load("link_health")


class PostgresLinkHealth:
    """HealthStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def discover(self, after: Place, limit: int) -> Place:
        async def work(connection: Connection) -> Place:
            row = await connection.fetchrow(SQL["discover"], *after, limit)
            if row is None or row["looked"] < limit:
                return START
            return Place(row["tenant_id"], row["id"])

        return await self._database.run(work)

    async def due(self, limit: int) -> tuple[list[Check], datetime]:
        async def work(connection: Connection) -> tuple[list[Check], datetime]:
            now = await connection.fetchval(SQL["now"])
            rows = await connection.fetch(SQL["due"], limit)
            return list(dict.fromkeys(Check(*row) for row in rows)), now

        return await self._database.run(work)

    async def write(self, checked: Sequence[Checked]) -> None:
        rows = [
            (c.check.tenant_id, c.check.target, c.state, c.status, c.reason, c.failures, c.next_at)
            for c in checked
        ]

        async def work(connection: Connection) -> None:
            await connection.execute(SQL["write"], *zip(*rows, strict=True))

        if rows:
            await self._database.run(work)

    async def put_back(self, checks: Sequence[Check]) -> None:
        async def work(connection: Connection) -> None:
            tenants, targets = [c.tenant_id for c in checks], [c.target for c in checks]
            await connection.execute(SQL["put_back"], tenants, targets)

        await self._database.run(work)
