"""The click ledger: raw rows, rollups and each journal's watermark, in one Postgres transaction; the counts by
dimension and `dimension_counted` in another one, which follows (storage/stats/dimension_counts.py).

Guarantees:
- A click is counted exactly once. The first statement of a commit moves the watermark by
  compare-and-set on (position, token); it locks the journal's row, so of two commits from one
  position one waits, finds the row changed, and is refused. All counts are in the same transaction.
  The lease only keeps aggregators from working for nothing: exactness does not rest on it, nor on
  any clock.
- A commit that fails leaves nothing, neither in Postgres nor in the tables of texts kept here.
  After an UnavailableError it may have happened or not: ask `lease` for the position again and go
  on from it.
- Two aggregators cannot deadlock: user agents and rollups are written in the order of their keys.
- Only the database's clock decides about leases. A commit renews its lease too, so `lease` never
  has to wait for a commit under way.

The row's encoding is engine/clicks/copy_rows.py. It runs in trio, one batch at a time with a checkpoint in
between, so the loop is blocked for about 2.5 µs a click of the largest batch (10 ms for 4,000
clicks).
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
import trio

from engine.clicks.batch import Batch
from engine.clicks.continuation import batches_after
from engine.clicks.copy_rows import COLUMNS, COPY_HEADER, COPY_TRAILER, EncodedTexts, FoldRows
from engine.clicks.rollup import RollupCounts, RollupKey
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from engine.stats.ledger_ports import (
    BufferedClicks,
    JournalLease,
    JournalWatermarks,
    WatermarkAdvance,
)
from storage.experiments.counts import add_increments
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts
from storage.webhooks.click_events import ClickEventWriter, Totals

_SQL: Final = queries.load("clicks/ledger")
# A user agent that is not stored anew for longer than a day may be purged (storage/stats/daily.py).
TEXTS_S: Final = 12 * 3600.0


T = TypeVar("T")


class PostgresClickLedger:
    """`ClickLedger` on Postgres. An edge's role may `register` and read `watermark`; the rest is
    the aggregator's."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._texts = EncodedTexts()
        self._texts_since = clock()
        self._events = ClickEventWriter(clock)

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "journals.purge",
                Every(HOUR),
                "delete rows of journals that were deleted more than a day ago",
                repeatable(self.purge_retired),
            )
        ]

    async def register(self, journal_id: UUID) -> int:
        async def work(connection: Connection) -> int:
            await connection.execute(_SQL["register_journal"], journal_id)
            return int(await connection.fetchval(_SQL["watermark"], journal_id))

        return await self._database.transaction(work)

    async def watermarks(self, journal_id: UUID) -> JournalWatermarks:
        async def work(connection: Connection) -> JournalWatermarks:
            row = await connection.fetchrow(_SQL["watermark"], journal_id)
            return JournalWatermarks(*row) if row else JournalWatermarks(0, 0)

        return await self._database.transaction(work)

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        async def work(connection: Connection) -> list[JournalLease]:
            held = await connection.fetch(_SQL["renew_leases"], owner, limit, ttl_s)
            if len(held) < limit:
                held += await connection.fetch(
                    _SQL["acquire_leases"], owner, limit - len(held), ttl_s
                )
            return [JournalLease(*row) for row in held]

        return await self._database.transaction(work)

    async def release(self, owner: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["release_leases"], owner)

        await self._database.transaction(work)

    async def commit(self, position: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """As the port says. Also raises ValueError for a gap, and FormatError for a damaged batch.

        Nothing is committed then. To find a damaged batch, commit one at a time and set that one
        aside.
        """
        news = batches_after(position.folded, batches)
        if not news:
            return position
        texts = self._known_texts()
        folding = FoldRows(position.journal_id, texts)
        for batch, after in news:
            folding.add(batch, after)
            await trio.lowlevel.checkpoint()
        reached = position._replace(folded=news[-1].batch.last)
        sums = folding.sums()

        async def work(connection: Connection) -> tuple[list[int], Totals]:
            await _move(connection, position, reached)
            await _copy(connection, folding.rows)
            agents = await _store_agents(connection, texts)
            await _add_up(connection, sums)
            return agents, await self._events.write(connection, sums)

        agents, totals = await self._guarded(work)
        texts.stored(agents)
        self._events.keep(totals)
        return reached

    async def delete_journal(self, journal_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["retire"], journal_id)

        await self._database.transaction(work)

    async def purge_retired(self) -> None:
        """Delete the rows of journals that were retired more than a day ago."""

        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["purge_retired"])

        await self._database.transaction(work)

    async def dead_letter(self, position: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """As the port says. Raises ValueError when the batch does not continue the position."""
        if not batches_after(position.folded, [batch]):
            return position
        reached = position._replace(folded=batch.last, dimension_counted=batch.last)

        async def work(connection: Connection) -> None:
            await _move(connection, position, reached, "advance_past_dead_letter")
            await connection.execute(_SQL["dead_letter"], position.journal_id, *batch, reason)

        await self._guarded(work)
        return reached

    async def commit_dimension_counts(
        self, moves: Sequence[WatermarkAdvance], gathered: BufferedClicks
    ) -> None:
        observed = gathered.experiment_increments()

        async def work(connection: Connection) -> None:
            await dimension_counts.add(connection, gathered)
            await add_increments(connection, observed)
            await dimension_counts.advance_watermarks(connection, moves)

        await self._guarded(work)

    async def _guarded(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.transaction(work)
        except asyncpg.CheckViolationError as error:
            # A day's partition was attached between the routing of a row to the default partition
            # and its insert. The next try is routed right.
            raise UnavailableError(f"clicks were being repartitioned: {error}") from error

    def _known_texts(self) -> EncodedTexts:
        """Others when their time is over; a commit under way goes on with those that it began with."""
        if self._clock() - self._texts_since > TEXTS_S:
            self._texts = EncodedTexts()
            self._texts_since = self._clock()
        return self._texts


async def _move(
    connection: Connection,
    position: JournalLease,
    reached: JournalLease,
    how: str = "advance_watermark",
) -> None:
    journal_id, sequence, token, _ = position
    moved = await connection.fetchval(_SQL[how], journal_id, sequence, token, reached.folded)
    if moved is None:
        raise StaleLeaseError(
            f"journal {journal_id} is not at click {sequence} under token {token}"
        )


async def _store_agents(connection: Connection, texts: EncodedTexts) -> list[int]:
    agents = sorted(texts.unstored.items())
    if agents:
        ids, names = zip(*agents, strict=True)
        await connection.execute(_SQL["store_user_agents"], ids, names)
        return list(ids)
    return []


async def _copy(connection: Connection, rows: list[bytes]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield COPY_HEADER
        for chunk in rows:
            yield chunk
        yield COPY_TRAILER

    await connection.copy_to_table("clicks", source=chunks(), columns=COLUMNS, format="binary")


async def _add_up(connection: Connection, sums: list[tuple[RollupKey, RollupCounts]]) -> None:
    if sums:
        keys, counts = zip(*sums, strict=True)
        tenants, profiles, links, buckets = zip(*keys, strict=True)
        seconds = [bucket_us // 1_000_000 for bucket_us in buckets]
        clicks, views, bots = zip(*counts, strict=True)
        await connection.execute(
            _SQL["add_to_rollups"], tenants, profiles, links, seconds, clicks, views, bots
        )
