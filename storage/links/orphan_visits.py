"""Orphan visits in Postgres: added by edges through a function, listed by the console, purged by workers."""

from collections.abc import Sequence
from typing import Final

from engine.accounts.access import Action, Caller
from engine.jobs.handler import repeatable
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Cron
from engine.links.orphan_visits import KEPT_DAYS, MAX_LISTED, OrphanCount, OrphanPath
from storage.links.domains import enter_domain
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("links/orphan_visits")
PURGED_AT_ONCE: Final = 10_000


class PostgresOrphanVisits:
    """OrphanVisitStore over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Sequence[OrphanCount]) -> None:
        columns = [list(column) for column in zip(*counts, strict=True)]

        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["add"], *columns)

        await self._database.transaction(work)


class PostgresOrphanVisitLists:
    """OrphanVisitLists over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def orphans(self, caller: Caller, domain_id: int, days: int) -> list[OrphanPath]:
        async def work(connection: Connection) -> list[OrphanPath]:
            access = await enter_domain(connection, caller, domain_id, Action.READ)
            rows = await connection.fetch(
                _SQL["orphans"], access.tenant_id, domain_id, days, MAX_LISTED
            )
            return [OrphanPath(*row) for row in rows]

        return await self._database.transaction(work, caller=caller, read_only=True)


class OrphanVisitPurge:
    """The purge, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "orphan-visits.purge",
                Cron("40 3 * * *"),
                f"delete visits to unknown paths of domains that are older than {KEPT_DAYS} days",
                repeatable(self.purge),
            )
        ]

    async def purge(self) -> None:
        async def work(connection: Connection) -> str:
            return await connection.execute(_SQL["purge"], KEPT_DAYS, PURGED_AT_ONCE)

        while await self._database.transaction(work) == f"DELETE {PURGED_AT_ONCE}":
            pass
