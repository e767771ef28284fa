"""Partitions of the raw clicks, one a UTC day, made ahead of time.

The work is one SQL function (migration 0002) that acts as the owner of the tables: who calls it
needs no right but to call it. Clicks are never lost for want of a partition, they wait in the
default one.
"""

from functools import partial

from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL = queries.load("clicks/partitions")


class Partitions:
    """The aggregator's view of the partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self, days_ahead: int) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "clicks.partitions",
                Every(HOUR),
                "create partitions of clicks before their day begins",
                repeatable(partial(self.ensure, days_ahead)),
            )
        ]

    async def ensure(self, days_ahead: int) -> int:
        """Make what is missing from yesterday to `days_ahead` days from now (UTC); how many were
        made.

        May run at any time and anywhere at once. Raises UnavailableError when a lock that is needed
        is not free within 5 s; nothing is changed then, and a later try helps.
        """

        async def work(connection: Connection) -> int:
            return int(await connection.fetchval(_SQL["ensure_partitions"], days_ahead))

        return await self._database.transaction(work)
