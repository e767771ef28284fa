"""Ports of the click ledger: watermarks and leases of journals, folds and dimension counts."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from engine.clicks.batch import Batch
from engine.experiments.increments import ExperimentIncrements
from engine.stats.vectorised_counts import CountBlock


class JournalWatermarks(NamedTuple):
    """The last sequences of a journal that are in all counts, and in the rollups; 0 before the first."""

    fully_counted: int
    folded: int


class WatermarkAdvance(NamedTuple):
    """A move of a journal's `dimension_counted`: its clicks above `from_sequence`, up to `to_sequence`."""

    journal_id: UUID
    from_sequence: int
    to_sequence: int
    fencing_token: int


class BufferedClicks(Protocol):
    """A click buffer: clicks of journals that wait to be counted by dimension
    (engine/stats/click_buffer.py)."""

    @property
    def clicks(self) -> int: ...

    @property
    def keys(self) -> int:
        """The number of pairs of a link and a time bucket, roughly."""

    def add(self, journal_id: UUID, batch: Batch, after: int) -> None:
        """Add the batch's clicks above sequence `after`. Raises FormatError, and then adds none."""

    def drop(self, journal_id: UUID) -> None:
        """Drop the clicks of a journal."""

    def profiles(self) -> set[tuple[int, int]]:
        """Return (tenant_id, profile_id) of all clicks."""

    def blocks(self) -> Iterator[CountBlock]: ...

    def experiment_increments(self) -> ExperimentIncrements: ...


class JournalLease(NamedTuple):
    """A journal's watermarks and the fencing token under which it is leased.

    `dimension_counted` is at most `folded`.
    """

    journal_id: UUID
    folded: int
    fencing_token: int
    dimension_counted: int = 0


class ClickLedger(Protocol):
    """The ledger of counted clicks. A fold moves `folded` in the transaction of the raw rows and rollups; a
    later transaction adds the dimension counts and moves `dimension_counted`."""

    async def register(self, journal_id: UUID) -> JournalWatermarks:
        """Create the journal's row if there is none, and take back complete(). Returns its watermarks."""

    async def watermarks(self, journal_id: UUID) -> JournalWatermarks | None:
        """Return the journal's watermarks; None for one without a row."""

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, JournalWatermarks]:
        """Return the watermarks of those of the journals that have a row, by id."""

    async def complete(self, journal_id: UUID, last: int) -> None:
        """Note the last sequence of a journal whose edge has ended. It is not leased while both watermarks
        have reached that sequence, and is again if they go back."""

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        """Renew the leases of `owner` and acquire free or expired ones, `limit` in all.

        A lease that changes hands gets a higher fencing token, which no lease had before: it is the time of
        the database's clock in microseconds, so that a database that went back does not give it again.
        """

    async def release(self, owner: str) -> None:
        """Release all leases of `owner`."""

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """Fold batches: add raw rows and rollups and move `folded`, all or nothing. Returns the lease moved.

        `batches` continue `folded` without a gap; clicks at or below it are skipped. Raises
        StaleLeaseError when the watermark or the fencing token of the journal is another one.
        """

    async def delete_journal(self, journal_id: UUID) -> None:
        """Delete the row of a journal that is fully counted and deleted. Its id is never used again."""

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """Keep a batch that cannot be folded, whole, and move both watermarks past it. Returns the lease moved.

        Raises StaleLeaseError as commit() does, and when `dimension_counted` is behind `folded`.
        """

    async def commit_dimension_counts(
        self, advances: Sequence[WatermarkAdvance], buffer: BufferedClicks
    ) -> None:
        """Add dimension counts and those of experiments and move `dimension_counted`, all or nothing.

        `buffer` holds the clicks of the advances. Raises StaleLeaseError that names the journals whose
        watermark or fencing token is another one; the rest can be tried without them."""
