"""The daily aggregation job: it packs finished days and months, compacts hot days, deletes raw clicks past
their retention, and indexes the rest.

Each part may stop anywhere and run any number of times. Raw clicks are kept for each profile's
raw_retention_days; a partition that no profile keeps is dropped whole. The transaction that deletes raw
clicks of a day also records since when the profile, or every profile, has raw clicks. User agents, stored
once for all clicks, are deleted when no click can have them.
"""

from collections.abc import Callable
from datetime import date
from typing import Final

from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Cron
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.compaction import compact
from storage.stats.months import pack_months
from storage.stats.settling import settle_expired, settle_finished

_SQL: Final = queries.load("stats/daily")
STATEMENT_TIMEOUT_S: Final = 1200.0
RUN_LIMIT_S: Final = 4 * 3600.0


class DailyAggregation:
    """The daily aggregation, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "analytics.daily",
                Cron("30 0 * * *"),
                "pack and compact finished days, delete raw clicks past their retention",
                Handler(run=self._run_job, time_limit_s=RUN_LIMIT_S),
            )
        ]

    async def _run_job(self, context: JobContext) -> None:
        await self.run(context.report_progress)

    async def run(self, report: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Run all parts. `report(done, of)` is called with numbers of profiles' days that are compacted."""
        await settle_finished(self._database, lambda done: report(done, done))
        await compact(self._database, report)
        await self.pack_months()
        await self.delete_raw()
        await self.index()
        await self._database.transaction(
            lambda connection: connection.execute(_SQL["change_stats_versions"])
        )

    async def pack_months(self) -> int:
        """Pack finished months of quiet profiles. Returns how many."""

        async def today(connection: Connection) -> date:
            day: date = await connection.fetchval(_SQL["today"])
            return day

        return await pack_months(
            self._database, await self._database.transaction(today), lambda done: None
        )

    async def delete_raw(self) -> int:
        """Delete raw clicks past their retention. Returns how many partitions were dropped."""
        limits, days = await self._database.transaction(self._partitions)
        drop_before, delete_before = limits
        for day in days:
            if drop_before <= day < delete_before:
                await self._database.transaction(
                    lambda connection, day=day: _delete(connection, day)  # type: ignore[misc]
                )

        async def drop(connection: Connection) -> int:
            await connection.execute(_SQL["no_time_limit"])
            await connection.execute(_SQL["record_all_ended"], drop_before)
            return int(
                await connection.fetchval(
                    _SQL["drop_partitions"], drop_before, timeout=STATEMENT_TIMEOUT_S
                )
            )

        dropped = await self._database.transaction(drop)
        await settle_expired(self._database)
        await self._database.transaction(_forget_pseudonyms)
        await self._database.transaction(lambda connection: _delete_old(connection, drop_before))
        return dropped

    async def _partitions(self, connection: Connection) -> tuple[tuple[date, date], list[date]]:
        """Return (days before which all, or some, profiles' clicks have ended) and the days of partitions."""
        row = await connection.fetchrow(_SQL["limits"])
        assert row is not None
        days = [row[0] for row in await connection.fetch(_SQL["partition_days"])]
        return (row["all_gone"], row["some_gone"]), days

    async def index(self) -> int:
        """Index raw clicks of finished days. Returns how many days were indexed."""

        async def work(connection: Connection) -> date | None:
            await connection.execute(_SQL["no_time_limit"])
            day: date | None = await connection.fetchval(
                _SQL["index_partition"], timeout=STATEMENT_TIMEOUT_S
            )
            return day

        indexed = 0
        while await self._database.transaction(work) is not None:
            indexed += 1
        return indexed


async def _delete(connection: Connection, day: date) -> None:
    await connection.execute(_SQL["no_time_limit"])
    profiles = await connection.fetch(_SQL["record_ended"], day, timeout=STATEMENT_TIMEOUT_S)
    if profiles:
        columns = zip(*profiles, strict=True)
        await connection.execute(_SQL["delete_raw"], day, *columns, timeout=STATEMENT_TIMEOUT_S)


async def _forget_pseudonyms(connection: Connection) -> None:
    """Delete pseudonyms of packed clicks whose raw clicks have ended, packed clicks of such hot days, and
    damaged deltas."""
    await connection.execute(_SQL["no_time_limit"])
    for query in ("forget_pseudonyms", "delete_packed_of_hot_days", "delete_damaged"):
        await connection.execute(_SQL[query], timeout=STATEMENT_TIMEOUT_S)


async def _delete_old(connection: Connection, drop_before: date) -> None:
    await connection.execute(_SQL["no_time_limit"])
    await connection.execute(_SQL["delete_old"], drop_before, timeout=STATEMENT_TIMEOUT_S)
    await connection.execute(_SQL["delete_agents"], drop_before, timeout=STATEMENT_TIMEOUT_S)
