"""Checks of links' targets in Postgres, as workers read and write them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from engine.links.health import CheckOutcome, DueCheck
from engine.links.health_ports import START, LinkCursor
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("links/health")


class PostgresLinkHealthStore:
    """LinkHealthStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def discover(self, after: LinkCursor, limit: int) -> LinkCursor:
        async def work(connection: Connection) -> LinkCursor:
            row = await connection.fetchrow(SQL["discover"], *after, limit)
            if row is None or row["looked"] < limit:
                return START
            return LinkCursor(row["tenant_id"], row["id"])

        return await self._database.transaction(work)

    async def claim(self, limit: int) -> tuple[list[DueCheck], datetime]:
        async def work(connection: Connection) -> tuple[list[DueCheck], datetime]:
            now = await connection.fetchval(SQL["now"])
            rows = await connection.fetch(SQL["due"], limit)
            return list(dict.fromkeys(DueCheck(*row) for row in rows)), now

        return await self._database.transaction(work)

    async def record(self, checked: Sequence[CheckOutcome]) -> None:
        rows = [
            (c.check.tenant_id, c.check.target, c.state, c.status, c.reason, c.failures, c.next_at)
            for c in checked
        ]

        async def work(connection: Connection) -> None:
            await connection.execute(SQL["write"], *zip(*rows, strict=True))

        if rows:
            await self._database.transaction(work)

    async def release(self, checks: Sequence[DueCheck]) -> None:
        async def work(connection: Connection) -> None:
            tenants, targets = [c.tenant_id for c in checks], [c.target for c in checks]
            await connection.execute(SQL["put_back"], tenants, targets)

        await self._database.transaction(work)
