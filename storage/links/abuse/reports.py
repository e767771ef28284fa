"""Reports of links in Postgres: added by edges through a function, read by the console, purged by workers."""

from typing import Final

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.common.errors import LostUpdateError, NotFoundError
from engine.common.list_page import ListPage
from engine.jobs.handler import repeatable
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Cron
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.abuse.report import KEPT_DAYS, LinkReport, ReportedLink
from storage.accounts.access import MAX_ID, enter_link
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("links/abuse/reports")
PURGED_AT_ONCE: Final = 10_000
_decode_quarantine: Final = msgspec.json.Decoder(EngineQuarantine).decode


class PostgresReports:
    """ReportSink over a database that was opened as waypost_edge.

    From `quarantine_from` reporters of a day on a link is quarantined; 0: none is.
    """

    def __init__(self, database: Database, quarantine_from: int) -> None:
        self._database = database
        self._quarantine_from = quarantine_from

    async def report(
        self, tenant_id: int, link_id: int, reporter: bytes, category: str, details: str
    ) -> bool:
        async def work(connection: Connection) -> bool:
            values = tenant_id, link_id, reporter, category, details, self._quarantine_from
            return bool(await connection.fetchval(_SQL["report"], *values))

        return await self._database.transaction(work)


class PostgresReportStore:
    """ReportStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_reports(self, caller: Caller, link_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_link(connection, caller, link_id, Action.READ)
            key = access.tenant_id, link_id, min(after, MAX_ID)
            rows = await connection.fetch(_SQL["reports"], *key, limit + 1)
            return ListPage.of([LinkReport(**row) for row in rows], limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def reported_links(self, caller: Caller, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(_SQL["reported_links"], min(after, MAX_ID), limit + 1)
            return ListPage.of([_reported_link(row) for row in rows], limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def review(
        self, caller: Caller, link_id: int, reason: str | None, if_version: int | None = None
    ) -> None:
        async def work(connection: Connection) -> int | None:
            values = min(link_id, MAX_ID), reason, if_version
            version: int | None = await connection.fetchval(_SQL["review"], *values)
            return version

        version = await self._database.transaction(work, caller=caller)
        if version is None:
            raise NotFoundError.of("link")
        if if_version not in (None, version):
            raise LostUpdateError(version)


class ReportPurge:
    """The purge, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "link-reports.purge",
                Cron("45 3 * * *"),
                f"delete visitors' reports of links that are older than {KEPT_DAYS} days",
                repeatable(self.purge),
            )
        ]

    async def purge(self) -> None:
        async def work(connection: Connection) -> str:
            return await connection.execute(_SQL["purge"], KEPT_DAYS, PURGED_AT_ONCE)

        while await self._database.transaction(work) == f"DELETE {PURGED_AT_ONCE}":
            pass


def _reported_link(row: asyncpg.Record) -> ReportedLink:
    fields = dict(row)
    if fields["engine_quarantine"] is not None:
        fields["engine_quarantine"] = _decode_quarantine(fields["engine_quarantine"])
    fields["categories"] = msgspec.json.decode(fields["categories"], type=dict[str, int])
    fields["details"] = tuple(fields["details"])
    return ReportedLink(**fields)
