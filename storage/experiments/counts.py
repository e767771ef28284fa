"""What experiments count, in Postgres: one row a visitor for as long as they can be told apart, and sums.

Guarantees:
- a visitor is counted once in a phase, in the arm that they saw first; who was in two is counted in neither,
  and reported. It does not matter in which order exposures and outcomes come, or in which batches;
- sums are written in the transaction of the rows that they follow from. Once a row is gone its sums stay.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.experiments.increments import ExperimentIncrements
from engine.jobs.handler import repeatable
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("experiments/counts")
RETENTION_DAYS: Final = 2  # after the day itself: as long as its key may be there
AT_ONCE: Final = 10_000
UNITS_AT_ONCE: Final = 5_000


async def add_increments(connection: Connection, observed: ExperimentIncrements) -> None:
    """Write what clicks tell, in the caller's transaction; so many visitors with each statement, as that has
    a time limit."""
    units = [(*unit.key, *unit[1:]) for unit in observed.units]
    sums = [(*key, exposures, outcomes) for key, exposures, outcomes in observed.sums]
    while units or sums:
        some, units = units[:UNITS_AT_ONCE], units[UNITS_AT_ONCE:]
        told = [] if units else sums
        await connection.execute(_SQL["observe"], *_columns(some, 11), *_columns(told, 7))
        sums = sums if units else []


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    return [[row[column] for row in rows] for column in range(width)]


class ExperimentCountsPurge:
    """Forgetting, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "experiments.purge",
                Every(10 * MINUTE),
                "delete experiment visitors after their daily key has expired",
                repeatable(self.forget),
            )
        ]

    async def forget(self) -> int:
        """Delete rows of visitors that nothing tells apart any more, and all of experiments that are gone; how
        many."""
        before = datetime.now(UTC).date() - timedelta(days=RETENTION_DAYS)
        forgotten = await self._repeated("forget_visitors", before, AT_ONCE)
        for gone in await self._gone():
            for query in ("forget_gone_visitors", "forget_gone_sums"):
                forgotten += await self._repeated(query, *gone, AT_ONCE)
        return forgotten + await self._repeated("forget_converted", AT_ONCE)

    async def _gone(self) -> list[tuple[int, int]]:
        """Tenant and id of experiments that are gone and have left something."""

        async def work(connection: Connection) -> list[tuple[int, int]]:
            return [(row[0], row[1]) for row in await connection.fetch(_SQL["gone"])]

        return await self._database.transaction(work, read_only=True)

    async def _repeated(self, query: str, *values: object) -> int:
        async def work(connection: Connection) -> int:
            status = await connection.execute(_SQL[query], *values)
            return int(status.rpartition(" ")[2])

        total = 0
        while True:
            done = await self._database.transaction(work)
            total += done
            if done < AT_ONCE:
                return total
