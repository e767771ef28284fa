"""Looks at domains' records in Postgres, as workers read and write them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from engine.links.domain import LONGEST_WAIT, DomainLook, DueDomain
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("links/domain_looks")
HELD: Final = (
    "the record is right, but another account has this host verified; it is looked at again"
)
HELD_WAIT: Final = timedelta(minutes=10)


class PostgresDomainLookStore:
    """DomainLookStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, limit: int) -> list[DueDomain]:
        async def work(connection: Connection) -> list[DueDomain]:
            return [DueDomain(*row) for row in await connection.fetch(_SQL["claim"], limit)]

        return await self._database.transaction(work)

    async def record(self, looks: Sequence[DomainLook]) -> None:
        for look in looks:
            try:
                await self._record(look)
            except asyncpg.UniqueViolationError:
                await self._record(look)  # another tenant's domain was verified at the same moment

    async def _record(self, look: DomainLook) -> None:
        domain = look.domain
        key = domain.tenant_id, domain.id

        async def work(connection: Connection) -> None:
            wanted = look
            if look.state == "verified" != domain.state and await connection.fetchval(
                _SQL["holder"], domain.tenant_id, domain.host
            ):
                wanted = held(look)
            await connection.execute(_SQL["set_state"], *key, wanted.state)
            await connection.execute(
                _SQL["record_look"], *key, wanted.failures, wanted.reason, wanted.wait
            )

        await self._database.transaction(work)


def held(look: DomainLook) -> DomainLook:
    """Return the look at a record that is right, of a host that another tenant has."""
    wait = min(LONGEST_WAIT, HELD_WAIT * (look.domain.failures + 1))
    return look._replace(state="pending", reason=HELD, failures=look.domain.failures + 1, wait=wait)
