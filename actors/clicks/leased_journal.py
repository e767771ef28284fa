"""A journal under one lease: the aggregator's calls, in the only right order.

    leased_journal(lease, …)          the dimension counter follows the journal
        catch_up(batches)             what is folded already goes to the dimension counter
        fold(batches)                 what is not is folded, then buffered there
        dead_letter(batch, reason)    what cannot be folded: all before it is counted first
    end of the block                  what is buffered and not counted is dropped

The two watermarks of a journal move apart and must never pass over a click: `folded` is ahead, and the
dimension counter follows without a gap. So clicks are folded only where it has all clicks before them, and a
batch is dead-lettered, which moves both watermarks, only once they meet. Called in another order a method
raises RuntimeError, and nothing is committed; StaleLeaseError once the lease is lost or the block was left.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from actors.stats.dimension_counter import CountedJournal, DimensionCounter
from engine.clicks.batch import Batch
from engine.stats.ledger_ports import ClickLedger, JournalLease

# Called after each commit with the lease before it, the lease after it, and the batches folded.
FoldListener = Callable[[JournalLease, JournalLease, Sequence[Batch]], None]


class LeasedJournal:
    """Made by leased_journal(). `lease` has the fencing token, and `folded` as of the last commit."""

    def __init__(
        self,
        lease: JournalLease,
        ledger: ClickLedger,
        counted: CountedJournal,
        on_fold: FoldListener,
    ) -> None:
        self.lease = lease
        self._ledger = ledger
        self._counted = counted
        self._on_fold = on_fold

    @property
    def id(self) -> UUID:
        return self.lease.journal_id

    @property
    def resume_at(self) -> int:
        """The sequence to read on behind. Below `folded` after a crash, as dimension counts follow later."""
        self._counted.require_lease()
        return min(self.lease.folded, self._counted.buffered)

    def position(self) -> JournalLease:
        """Return the lease with both watermarks as of the last commits."""
        return self.lease._replace(dimension_counted=self._counted.counted)

    async def catch_up(self, batches: Sequence[Batch]) -> list[Batch]:
        """Buffer those of the batches that are folded already. Returns the others, which fold() takes.

        `batches` continue `resume_at` without a gap, else it raises ValueError.
        """
        ahead = [batch for batch in batches if batch.last > self.lease.folded]
        await self._counted.buffer([batch for batch in batches if batch.last <= self.lease.folded])
        return ahead

    async def fold(self, batches: Sequence[Batch]) -> None:
        """Fold the batches, tell the listener, and buffer their clicks for stage two.

        Raises RuntimeError before catch_up(), StaleLeaseError, and what ClickLedger.commit() raises.
        """
        self._require_buffered(batches[0].first - 1 if batches else 0)
        before = self.lease
        self.lease = await self._ledger.commit(before, batches)
        # Before buffering, which waits while the buffers are full.
        self._on_fold(before, self.lease, batches)
        await self._counted.buffer(batches)

    async def dead_letter(self, batch: Batch, reason: str) -> None:
        """Keep a batch that cannot be folded, and move both watermarks past it, once they have met.

        Its clicks that are folded already, and cannot be read any more, are left out of the dimension counts.
        Raises RuntimeError before catch_up(), StaleLeaseError, and what ClickLedger.dead_letter() raises.
        """
        folded = self.lease.folded
        self._require_buffered(min(folded, batch.first - 1))
        if self._counted.buffered < folded:
            await self._counted.buffer([Batch(batch.first, folded, b"")])
        await self._counted.wait_counted()
        if not batch.payload:
            batch = batch._replace(first=max(batch.first, folded + 1))
        self.lease = await self._ledger.dead_letter(self.lease, batch, reason)
        self._counted.skip_to(self.lease.folded)

    def _require_buffered(self, sequence: int) -> None:
        """Raise unless the dimension counter has all clicks up to `sequence`."""
        self._counted.require_lease()
        buffered = self._counted.buffered
        if buffered < sequence:
            raise RuntimeError(
                f"clicks {buffered + 1} to {sequence} of journal {self.id} are not in the dimension "
                "counter: catch_up() first"
            )


@contextmanager
def leased_journal(
    lease: JournalLease,
    ledger: ClickLedger,
    dimension_counter: DimensionCounter,
    on_fold: FoldListener = lambda *_: None,
) -> Iterator[LeasedJournal]:
    """Open a leased journal for as long as the block lasts. Raises RuntimeError if it is open already.

    `on_fold` is called after each commit; it must not wait.
    """
    with dimension_counter.follow(lease) as counted:
        yield LeasedJournal(lease, ledger, counted, on_fold)
