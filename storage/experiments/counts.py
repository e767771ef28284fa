"""Counts of experiments in Postgres: one row for each visitor while pseudonyms can recur, and sums.

Guarantees:
- A visitor is counted once in a phase, in the variant seen first; a visitor of two variants is counted in
  neither, and reported. The order of exposures and outcomes, and their batches, do not matter.
- Sums are written in the transaction of their rows. They stay when the rows are deleted.
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
RETENTION_DAYS: Final = 2  # after the day itself: as long as its daily key may exist
AT_ONCE: Final = 10_000
UNITS_AT_ONCE: Final = 5_000


async def add_increments(connection: Connection, increments: ExperimentIncrements) -> None:
    """Add increments in the caller's transaction, UNITS_AT_ONCE visitors with each statement, as statements
    have a time limit."""
    units = [(*unit.key, *unit[1:]) for unit in increments.units]
    sums = [(*key, exposures, outcomes) for key, exposures, outcomes in increments.sums]
    while units or sums:
        chunk, units = units[:UNITS_AT_ONCE], units[UNITS_AT_ONCE:]
        last_sums = [] if units else sums
        await connection.execute(_SQL["observe"], *_columns(chunk, 11), *_columns(last_sums, 7))
        sums = sums if units else []


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return rows as parallel arrays for unnest."""
    return [[row[column] for row in rows] for column in range(width)]


class ExperimentCountsPurge:
    """Purge of experiments' visitors, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "experiments.purge",
                Every(10 * MINUTE),
                "delete experiment visitors after their daily key has expired",
                repeatable(self.purge),
            )
        ]

    async def purge(self) -> int:
        """Delete visitors whose daily key has expired, and all rows of deleted experiments. Returns how
        many rows."""
        before = datetime.now(UTC).date() - timedelta(days=RETENTION_DAYS)
        deleted_rows = await self._repeated("forget_visitors", before, AT_ONCE)
        for experiment_key in await self._deleted_experiments():
            for query in ("forget_gone_visitors", "forget_gone_sums"):
                deleted_rows += await self._repeated(query, *experiment_key, AT_ONCE)
        return deleted_rows + await self._repeated("forget_converted", AT_ONCE)

    async def _deleted_experiments(self) -> list[tuple[int, int]]:
        """Return (tenant id, experiment id) of deleted experiments that have left rows."""

        async def work(connection: Connection) -> list[tuple[int, int]]:
            return [(row[0], row[1]) for row in await connection.fetch(_SQL["gone"])]

        return await self._database.transaction(work, read_only=True)

    async def _repeated(self, query: str, *values: object) -> int:
        async def work(connection: Connection) -> int:
            status = await connection.execute(_SQL[query], *values)
            return int(status.rpartition(" ")[2])

        total = 0
        while True:
            deleted = await self._database.transaction(work)
            total += deleted
            if deleted < AT_ONCE:
                return total
