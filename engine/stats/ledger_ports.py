"""What the aggregator hands over to be counted by dimension; see `engine.links.ports.ClickLedger.summarise`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from engine.clicks.batch import Batch
from engine.experiments.increments import ExperimentIncrements
from engine.stats.vectorised_counts import CountBlock


class JournalWatermarks(NamedTuple):
    """How far a journal is counted: its last click that is in all counts, and that is in the plain ones; 0
    before the first."""

    fully_counted: int
    folded: int


class WatermarkAdvance(NamedTuple):
    """A journal's clicks above `sequence`, up to `reached`, on their way into the counts by dimension."""

    journal_id: UUID
    from_sequence: int
    to_sequence: int
    fencing_token: int


class BufferedClicks(Protocol):
    """Clicks of several journals that wait to be summed by dimension (engine/stats/click_buffer.py)."""

    @property
    def clicks(self) -> int: ...

    @property
    def keys(self) -> int:
        """Of about how many links and buckets."""

    def add(self, journal_id: UUID, batch: Batch, after: int) -> None:
        """Take the batch's clicks above sequence `after`. Raises FormatError, and then takes none."""

    def drop(self, journal_id: UUID) -> None: ...

    def profiles(self) -> set[tuple[int, int]]:
        """Tenant and profile ids of all clicks."""

    def blocks(self) -> Iterator[CountBlock]: ...

    def experiment_increments(self) -> ExperimentIncrements: ...


class JournalLease(NamedTuple):
    """How far a journal is folded, and under which fencing token its stream is owned. `dimension_counted` is how
    far it is in the counts by dimension, at most `sequence`."""

    journal_id: UUID
    folded: int
    fencing_token: int
    dimension_counted: int = 0


class ClickLedger(Protocol):
    """The counts, and each journal's watermark next to them in one transaction; in another one the counts
    by dimension and `dimension_counted`, which follows the watermark."""

    async def register(self, journal_id: UUID) -> int:
        """Make the journal's row if there is none; its last click that is in all counts."""

    async def watermarks(self, journal_id: UUID) -> JournalWatermarks: ...

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        """Renew the leases that `owner` holds and take free or expired ones, `limit` in all.

        A lease that changes hands gets a higher token. Times are the database's own.
        """

    async def release(self, owner: str) -> None: ...

    async def commit(self, position: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """Raw rows, rollups and the watermark's move, all or nothing.

        `batches` continue the position without a gap; what lies at or below it is skipped. Raises
        StaleLeaseError when the position or the token is no longer this one's.
        """

    async def delete_journal(self, journal_id: UUID) -> None:
        """Forget a journal that is wholly committed and deleted. Its id never comes again."""

    async def dead_letter(self, position: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """Keep a batch that cannot be folded, whole, and move both positions past it, under the same guard:
        all before it must be summarised."""

    async def commit_dimension_counts(
        self, moves: Sequence[WatermarkAdvance], gathered: BufferedClicks
    ) -> None:
        """Counts by dimension, those of experiments, and the moves of `dimension_counted`, all or nothing.

        `gathered` holds the clicks of the moves. Raises StaleLeaseError that names the journals whose
        position or token is no longer this one's; the others can be tried without them."""
