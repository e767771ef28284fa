"""The click ledger: raw rows, deltas and each journal's watermark, in one Postgres transaction.

A fold appends raw rows and deltas, and moves one row, the journal's. Beside it, only user agents that are
new and counts of experiments are upserted, in the order of their keys, so folds of different journals
hardly wait for each other. Jobs merge the deltas later (storage/stats/settling.py).

Guarantees:
- A click is counted exactly once. The first statement of a commit moves the watermark by
  compare-and-set on (folded, fencing token); it locks the journal's row, so of two commits from one
  watermark one waits, sees that the row has changed, and is refused. All counts are in the same transaction.
  The lease only keeps aggregators from working for nothing: exactness does not rest on it, nor on
  any clock.
- A commit that fails leaves nothing, neither in Postgres nor in the tables of texts kept here.
  After an UnavailableError it may have happened or not: call lease() again and go on from the
  watermark that it returns.
- Two aggregators cannot deadlock: user agents and experiments' counts are written in the order of their keys.
- Only the database's clock decides about leases. A commit renews its lease too, so `lease` never
  has to wait for a commit under way.

engine/clicks/copy_rows.py encodes rows, engine/stats/packed/click_packer.py deltas. Both run in trio, with a
checkpoint after a batch or some thousand clicks, so the loop is blocked for some 10 ms at most.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
import trio

from engine.clicks.batch import Batch
from engine.clicks.continuation import batches_after
from engine.clicks.copy_rows import COLUMNS, COPY_HEADER, COPY_TRAILER, EncodedTexts
from engine.clicks.journal_shares import JournalShare, share_of
from engine.clicks.new_texts import NewTexts
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.experiments.increments import increments_of
from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import JournalLease
from engine.stats.packed.click_packer import ValueTexts
from engine.stats.profile_day import ProfileDay
from storage.clicks.fold_core import PYTHON, FoldCore
from storage.experiments.counts import add_increments
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.deltas import add_deltas, pack_deltas
from storage.webhooks.click_events import ClickEventWriter, Totals

_SQL: Final = queries.load("clicks/ledger")
# A user agent that is not stored anew for longer than a day may be purged (storage/stats/daily.py).
TEXTS_S: Final = 12 * 3600.0


REPLACED_TEXTS: Final = Metric(
    "waypost_texts_replaced_total",
    "New texts of visitors counted as (other), as their profile brought too many, by what they are",
    ("text",),
)

T = TypeVar("T")


class PostgresClickLedger:
    """`ClickLedger` on Postgres. An edge's role may register() and read watermarks(); the rest is
    the aggregator's."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_delta: Callable[[ProfileDay, int], None] = lambda *_: None,
        core: FoldCore = PYTHON,
    ) -> None:
        """`on_delta` is called with the day and the clicks of each delta that was committed. `core` reads and
        packs clicks."""
        self._core = core
        self._on_delta = on_delta
        self._database = database
        self._clock = clock
        self._new_texts = NewTexts()
        self._texts = EncodedTexts(self._new_texts)
        self._values = ValueTexts()
        self._texts_since = clock()
        self._events = ClickEventWriter(clock)
        self._started_at: datetime | None = None

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "journals.purge",
                Every(HOUR),
                "delete rows of journals and aggregators that ended more than a day ago",
                repeatable(self.purge_retired),
            )
        ]

    def samples(self) -> list[Sample]:
        return [
            *self._core.samples(),
            *self._events.samples(),
            *REPLACED_TEXTS.by_label(self._new_texts.replaced),
        ]

    async def register(self, journal_id: UUID) -> int:
        async def work(connection: Connection) -> int:
            await connection.execute(_SQL["register_journal"], journal_id)
            return int(await connection.fetchval(_SQL["watermark"], journal_id))

        return await self._database.transaction(work)

    async def watermark(self, journal_id: UUID) -> int | None:
        async def work(connection: Connection) -> int | None:
            folded: int | None = await connection.fetchval(_SQL["watermark"], journal_id)
            return folded

        return await self._database.transaction(work)

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, int]:
        async def work(connection: Connection) -> dict[UUID, int]:
            rows = await connection.fetch(_SQL["watermarks"], journal_ids)
            return {row["journal_id"]: row["folded"] for row in rows}

        return await self._database.transaction(work)

    async def complete(self, journal_id: UUID, last: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["complete"], journal_id, last)

        await self._database.transaction(work)

    async def share(
        self, owner: str, ttl_s: float, handed_over: Collection[UUID] = ()
    ) -> JournalShare:
        return await self._database.transaction(
            lambda connection: _share(connection, owner, ttl_s, handed_over)
        )

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        return await self._database.transaction(
            lambda connection: _lease(connection, owner, limit, ttl_s)
        )

    async def renew(
        self,
        owner: str,
        ttl_s: float,
        handed_over: Collection[UUID],
        limit_of: Callable[[JournalShare], int],
    ) -> tuple[JournalShare, list[JournalLease]]:
        async def work(connection: Connection) -> tuple[JournalShare, list[JournalLease]]:
            share = await _share(connection, owner, ttl_s, handed_over)
            return share, await _lease(connection, owner, limit_of(share), ttl_s)

        return await self._database.transaction(work)

    async def release(self, owner: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["forget_aggregator"], owner)
            await connection.execute(_SQL["release_leases"], owner)

        await self._database.transaction(work)

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """As the port says. Also raises ValueError for a gap, and FormatError for a damaged batch.

        Nothing is committed then. To find a damaged batch, commit one at a time and dead-letter that
        one.
        """
        slices = batches_after(lease.folded, batches)
        if not slices:
            return lease
        texts = self._text_cache()
        self._new_texts.now_s = self._clock()
        fold_rows = self._core.rows(lease.journal_id, texts)
        for batch, after in slices:
            fold_rows.add(batch, after)
            await trio.lowlevel.checkpoint()
        moved = lease._replace(folded=slices[-1].batch.last)
        deltas = await pack_deltas(fold_rows.days, self._values, self._core.pack_day)
        increments = increments_of(fold_rows.experiment_clicks)

        async def work(connection: Connection) -> tuple[list[int], Totals]:
            self._require_server(await _advance(connection, lease, moved))
            await _copy(connection, fold_rows.rows)
            agents = await _store_agents(connection, texts)
            await add_deltas(connection, deltas)
            await add_increments(connection, increments)
            return agents, await self._events.write(connection, fold_rows.days)

        agents, totals = await self._guarded(work)
        texts.stored(agents)
        self._events.keep(totals)
        for delta in deltas:
            self._on_delta(ProfileDay(*delta[:3]), delta.clicks)
        return moved

    async def delete_journal(self, journal_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["retire"], journal_id)

        await self._database.transaction(work)

    async def purge_retired(self) -> None:
        """Delete the rows of journals that were retired, and of aggregators that died, more than a day ago."""

        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["purge_retired"])
            await connection.execute(_SQL["purge_aggregators"])

        await self._database.transaction(work)

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """As the port says. Raises ValueError when the batch does not continue `folded`."""
        if not batches_after(lease.folded, [batch]):
            return lease
        moved = lease._replace(folded=batch.last)

        async def work(connection: Connection) -> None:
            await _advance(connection, lease, moved)
            await connection.execute(_SQL["dead_letter"], lease.journal_id, *batch, reason)

        await self._guarded(work)
        return moved

    async def _guarded(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.transaction(work)
        except asyncpg.CheckViolationError as error:
            # A day's partition was attached between the routing of a row to the default partition
            # and its insert. The next try is routed right.
            raise UnavailableError(f"clicks were being repartitioned: {error}") from error
        except (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError) as error:
            # A right is missing, not a click is wrong: a dead letter would leave it out for good. COPY is
            # not supported where row-level security binds the role.
            raise UnavailableError(f"Postgres refuses to count clicks: {error}") from error

    def _require_server(self, started_at: datetime) -> None:
        """Forget what was read from and stored on another server than the one that runs since then.

        A standby that was promoted may lack what is cached here as stored. Raises UnavailableError if there is
        another one: the commit has to be tried again without the caches.
        """
        if self._started_at in (None, started_at):
            self._started_at = started_at
            return
        self._started_at = started_at
        self._forget_texts()
        self._events = ClickEventWriter(self._clock)
        raise UnavailableError("Postgres was restarted, or another server has taken its place")

    def _forget_texts(self) -> None:
        self._texts = EncodedTexts(self._new_texts)
        self._texts_since = self._clock()

    def _text_cache(self) -> EncodedTexts:
        """Return the text cache, replaced by an empty one after its lifetime. A commit in progress keeps the
        cache it started with."""
        if self._clock() - self._texts_since > TEXTS_S:
            self._forget_texts()
        return self._texts


async def _share(
    connection: Connection, owner: str, ttl_s: float, handed_over: Collection[UUID]
) -> JournalShare:
    await connection.execute(_SQL["note_aggregator"], owner, ttl_s)
    if handed_over:
        await connection.execute(_SQL["hand_over_leases"], owner, list(handed_over))
    rows = await connection.fetch(_SQL["count_leases"], owner)
    leased = {name: count for name, count, _ in rows if name is not None}
    journals, free = next(row[1:] for row in rows if row[0] is None)
    return share_of(owner, leased, journals, free)


async def _lease(
    connection: Connection, owner: str, limit: int, ttl_s: float
) -> list[JournalLease]:
    rows = await connection.fetch(_SQL["renew_leases"], owner, limit, ttl_s)
    if len(rows) < limit:
        rows += await connection.fetch(_SQL["acquire_leases"], owner, limit - len(rows), ttl_s)
    return [JournalLease(*row) for row in rows]


async def _advance(connection: Connection, lease: JournalLease, moved: JournalLease) -> datetime:
    """Move the watermark by compare-and-set. Returns since when the server runs. Raises StaleLeaseError."""
    journal_id, folded, fencing_token = lease
    started_at: datetime | None = await connection.fetchval(
        _SQL["advance_watermark"], journal_id, folded, fencing_token, moved.folded
    )
    if started_at is None:
        raise StaleLeaseError(
            f"journal {journal_id} is not at click {folded} under fencing token {fencing_token}"
        )
    return started_at


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
