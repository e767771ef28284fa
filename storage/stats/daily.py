"""The daily aggregation: compacts days that are over, deletes raw clicks beyond their time, indexes the rest.

Each part may end anywhere and run any number of times. Raw clicks are kept for each profile's
raw_retention_days; a partition that nobody needs any more is dropped whole. That a profile's raw clicks of a
day are gone, or everybody's, is noted in the transaction that deletes them. Texts of user agents, which stand
once for all, go when nobody can have a click of theirs any more.
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

_SQL: Final = queries.load("stats/daily")
LONGEST_S: Final = 1200.0
RUN_LIMIT_S: Final = 4 * 3600.0


class DailyAggregation:
    """Over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "analytics.daily",
                Cron("30 0 * * *"),
                "compact finished days, delete raw clicks that are kept no longer",
                Handler(run=self._run_job, time_limit_s=RUN_LIMIT_S),
            )
        ]

    async def _run_job(self, context: JobContext) -> None:
        await self.run(context.report_progress)

    async def run(self, tell: Callable[[int, int], None] = lambda done, of: None) -> None:
        """All of it. `tell` is told how many profiles' days are compacted, of how many."""
        await compact(self._database, tell)
        await self.delete_raw()
        await self.index()

    async def delete_raw(self) -> int:
        """Delete raw clicks that have been kept long enough; how many partitions were dropped."""
        limits, days = await self._database.transaction(self._look)
        all_gone, some_gone = limits
        for day in days:
            if all_gone <= day < some_gone:
                await self._database.transaction(
                    lambda connection, day=day: _delete(connection, day)  # type: ignore[misc]
                )

        async def drop(connection: Connection) -> int:
            await connection.execute(_SQL["no_time_limit"])
            await connection.execute(_SQL["all_ended"], all_gone)
            return int(
                await connection.fetchval(_SQL["drop_partitions"], all_gone, timeout=LONGEST_S)
            )

        dropped = await self._database.transaction(drop)
        await self._database.transaction(lambda connection: _delete_old(connection, all_gone))
        return dropped

    async def _look(self, connection: Connection) -> tuple[tuple[date, date], list[date]]:
        row = await connection.fetchrow(_SQL["limits"])
        assert row is not None
        days = [row[0] for row in await connection.fetch(_SQL["partition_days"])]
        return (row["all_gone"], row["some_gone"]), days

    async def index(self) -> int:
        """Index raw clicks of days that are over; how many days."""

        async def work(connection: Connection) -> date | None:
            await connection.execute(_SQL["no_time_limit"])
            day: date | None = await connection.fetchval(_SQL["index_partition"], timeout=LONGEST_S)
            return day

        indexed = 0
        while await self._database.transaction(work) is not None:
            indexed += 1
        return indexed


async def _delete(connection: Connection, day: date) -> None:
    await connection.execute(_SQL["no_time_limit"])
    profiles = await connection.fetch(_SQL["ended"], day, timeout=LONGEST_S)
    if profiles:
        columns = zip(*profiles, strict=True)
        await connection.execute(_SQL["delete_raw"], day, *columns, timeout=LONGEST_S)


async def _delete_old(connection: Connection, all_gone: date) -> None:
    await connection.execute(_SQL["no_time_limit"])
    await connection.execute(_SQL["delete_old"], all_gone, timeout=LONGEST_S)
    await connection.execute(_SQL["delete_agents"], all_gone, timeout=LONGEST_S)
