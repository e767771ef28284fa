"""The dimension counter: stage two of counting, from folded clicks to dimension counts, each click once.

It follows the fold: a click is in the rollups first, and in the dimension counts some tenths of a second later.
It buffers the clicks of all journals and commits their counts together, as the cost of a commit grows with its
rows and hardly with its clicks. So the longer commits take, the longer it waits between two: they take
`COST_SHARE` of the time at most.

Each journal has a watermark of this stage, `dimension_counted`, which moves by compare-and-set in the
transaction of the counts. After a restart or a lease change, counting resumes there: clicks up to `folded` are
read from the stream again and added to the dimension counts only. A process that dies loses its click buffer
and nothing else.

The owner of a journal's lease calls follow() and buffers clicks through the CountedJournal that it yields,
until the lease ends.

Bounds: two click buffers, one that is being committed and one that is filled, each of MAX_CLICKS or
MAX_KEYS; when both are full, folding waits. A commit that fails for any reason but an unavailable server is
tried MAX_TRIES times. Then its clicks are left out of the dimension counts, so that no journal grows for ever:
a metric and the log say so, and `waypost rebuild` adds them from the raw rows.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.continuation import batches_after
from engine.clicks.record_layout import FormatError
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.operations.progress import Progress
from engine.stats.ledger_ports import BufferedClicks, ClickLedger, JournalLease, WatermarkAdvance

logger = logging.getLogger("waypost.dimension_counter")

MAX_CLICKS: Final = 200_000
MAX_KEYS: Final = 10_000
SHORTEST_S: Final = 0.25
LONGEST_S: Final = 10.0
COST_SHARE: Final = 0.2
IDLE_S: Final = 0.1
MAX_TRIES: Final = 3

COUNTED_CLICKS: Final = Metric(
    "waypost_dimension_counted_clicks_total", "Clicks added to the dimension counts"
)
DIMENSION_COMMITS: Final = Metric(
    "waypost_dimension_commits_total", "Transactions that added clicks to the dimension counts"
)
LAG: Final = Metric(
    "waypost_dimension_lag_clicks", "Clicks in the rollups and not yet in the dimension counts"
)
SKIPPED_CLICKS: Final = Metric(
    "waypost_dimension_skipped_clicks_total",
    "Clicks left out of the dimension counts after an error",
)


class CountedJournal:
    """A journal under one lease, as the dimension counter follows it.

    `counted` is the watermark that is committed, `buffered` the last sequence that is counted or buffered.
    Each method raises StaleLeaseError once the lease is lost or the block of follow() was left.
    """

    __slots__ = ("_counter", "_lease", "buffered", "counted")

    def __init__(self, counter: "DimensionCounter", lease: JournalLease) -> None:
        self._counter = counter
        self._lease = lease
        self.counted = self.buffered = lease.dimension_counted

    @property
    def id(self) -> UUID:
        return self._lease.journal_id

    @property
    def is_behind(self) -> bool:
        return self.counted < self.buffered

    def advance(self) -> WatermarkAdvance:
        """Return the move of the watermark past all that is buffered."""
        return WatermarkAdvance(self.id, self.counted, self.buffered, self._lease.fencing_token)

    def require_lease(self) -> None:
        if not self._counter.follows(self):
            raise StaleLeaseError(f"journal {self.id} is counted by another owner")

    async def buffer(self, batches: Sequence[Batch]) -> None:
        """Buffer folded clicks; those at or below `buffered` are skipped. Waits while the buffers are full.

        Raises ValueError when clicks between `buffered` and the batches are missing: nothing is taken then.
        """
        self.require_lease()
        for batch, after in batches_after(self.buffered, batches):
            await self._counter.wait_for_space()
            self.require_lease()
            self._counter.buffer(self, batch, after)
            self.buffered = batch.last
            await trio.lowlevel.checkpoint()

    async def wait_counted(self) -> None:
        """Wait until all that was buffered is committed."""
        self.require_lease()
        while self.is_behind:
            await self._counter.wait_for_commit()
            self.require_lease()

    def skip_to(self, sequence: int) -> None:
        """Continue above `sequence`, because a dead letter moved both watermarks there.

        Raises RuntimeError if clicks are buffered: call wait_counted() first.
        """
        self.require_lease()
        if self.is_behind:
            raise RuntimeError(f"clicks of journal {self.id} are buffered: wait_counted() first")
        self.counted = self.buffered = sequence


class DimensionCounter:
    """The dimension counter. Run it under a supervisor."""

    def __init__(self, ledger: ClickLedger, new_buffer: Callable[[], BufferedClicks]) -> None:
        """`new_buffer` returns an empty click buffer."""
        self._ledger = ledger
        self._new_buffer = new_buffer
        self._filled: BufferedClicks | None = None
        self._journals: dict[UUID, CountedJournal] = {}
        self._interval_s = SHORTEST_S
        self._flushed_at = -LONGEST_S
        self._buffered_at = 0.0
        self._urgent = False
        self._buffered = trio.Event()
        self._committed = trio.Event()
        self._progress = Progress()
        self.counted = 0
        self.commits = 0
        self.skipped = 0
        self.last_error = ""

    # ---- for the aggregator ----------------------------------------------------------------------

    @contextmanager
    def follow(self, lease: JournalLease) -> Iterator[CountedJournal]:
        """Count a leased journal within the block. Raises RuntimeError if it is followed already."""
        if lease.journal_id in self._journals:
            raise RuntimeError(f"journal {lease.journal_id} is followed already")
        journal = self._journals[lease.journal_id] = CountedJournal(self, lease)
        try:
            yield journal
        finally:
            self._drop(journal)

    def follows(self, journal: CountedJournal) -> bool:
        return self._journals.get(journal.id) is journal

    def _drop(self, journal: CountedJournal) -> None:
        """Drop the buffered clicks of a journal whose lease has ended; its next owner counts them.

        Clicks that are being committed are not dropped: the fencing token decides whether they count.
        """
        if self.follows(journal):
            del self._journals[journal.id]
            if self._filled is not None:
                self._filled.drop(journal.id)

    async def wait_for_space(self) -> None:
        """Wait until the buffer has space for clicks."""
        while self._is_full():
            await self._committed.wait()

    def _is_full(self) -> bool:
        filled = self._filled
        return filled is not None and (filled.clicks >= MAX_CLICKS or filled.keys >= MAX_KEYS)

    def buffer(self, journal: CountedJournal, batch: Batch, after: int) -> None:
        """Add a batch's clicks above `after`. Called by CountedJournal only, which keeps the order."""
        if self._filled is None:
            self._filled = self._new_buffer()
        try:
            self._filled.add(journal.id, batch, after)
        except FormatError as error:  # the batch was readable when it was folded
            self._leave_out(journal.id, batch.last - after, error)
        self._buffered_at = trio.current_time()
        self._buffered.set()

    async def wait_for_commit(self) -> None:
        """Ask for a commit without delay, and wait until one is done."""
        self._urgent = True
        self._buffered.set()
        await self._committed.wait()

    # ---- committing -------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            await self._wait_until_due()
            began = trio.current_time()
            self._progress.begin(began)
            await self._flush()
            self._progress.idle()
            cost_s = trio.current_time() - began
            self._flushed_at = trio.current_time()
            self._interval_s = min(LONGEST_S, max(SHORTEST_S, cost_s / COST_SHARE - cost_s))

    async def _wait_until_due(self) -> None:
        """Wait for clicks, and then until the interval has passed or no more clicks come."""
        while True:
            self._buffered = trio.Event()
            now = trio.current_time()
            if self._filled is None:
                await self._buffered.wait()
                continue
            idle_s = max(IDLE_S, self._interval_s / 8)
            soonest = min(self._flushed_at + self._interval_s, self._buffered_at + idle_s)
            wait_s = max(soonest, self._flushed_at + SHORTEST_S) - now
            if wait_s <= 0 or self._urgent or self._is_full():
                return
            with trio.move_on_after(wait_s):
                await self._buffered.wait()

    async def _flush(self) -> None:
        """Commit the buffer; try again until its clicks are counted, their lease is lost or they are left
        out."""
        self._urgent = False
        buffer, self._filled = self._filled, None
        advances = {
            journal.advance(): journal for journal in self._journals.values() if journal.is_behind
        }
        self._wake_waiting()
        failures = tries = 0
        while buffer is not None and advances:
            try:
                await self._ledger.commit_dimension_counts(sorted(advances), buffer)
                self._advance(advances)
                break
            except StaleLeaseError as error:
                self.last_error = str(error)
                for advance in [move for move in advances if move.journal_id in error.journals]:
                    buffer.drop(advance.journal_id)
                    self._drop(advances.pop(advance))
            except UnavailableError as error:
                self.last_error = str(error)
                failures += 1
                await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
            except Exception as error:
                tries += 1
                self.last_error = str(error)
                logger.error("dimension counts could not be committed; trying again: %r", error,
                             extra={"event": "dimension_counts_failed"})  # fmt: skip
                if tries == MAX_TRIES:
                    buffer = self._new_buffer()
                    for advance in advances:
                        clicks = advance.to_sequence - advance.from_sequence
                        self._leave_out(advance.journal_id, clicks, error)
                await trio.sleep(backoff_s(tries, first_s=0.1, limit_s=1.0))
        self._wake_waiting()

    def _advance(self, advances: dict[WatermarkAdvance, CountedJournal]) -> None:
        self.commits += 1
        for advance, journal in advances.items():
            self.counted += advance.to_sequence - advance.from_sequence
            journal.counted = advance.to_sequence

    def _leave_out(self, journal_id: UUID, clicks: int, error: Exception) -> None:
        self.skipped += clicks
        logger.error(
            "%d clicks of journal %s were left out of the dimension counts: %r",
            clicks, journal_id.hex, error,
            extra={"event": "dimension_counts_skipped", "journal": journal_id.hex},
        )  # fmt: skip

    def _wake_waiting(self) -> None:
        self._committed.set()
        self._committed = trio.Event()

    @property
    def lag(self) -> int:
        """The number of clicks that are buffered and not committed."""
        return sum(journal.buffered - journal.counted for journal in self._journals.values())

    def stall(self) -> str:
        """Return a line if a commit has not succeeded for long, else an empty text."""
        return self._progress.stall(
            trio.current_time(), f"{self.lag:,} clicks to count by dimension", self.last_error
        )

    def samples(self) -> list[Sample]:
        return [
            COUNTED_CLICKS.sample(self.counted),
            DIMENSION_COMMITS.sample(self.commits),
            LAG.sample(self.lag),
            SKIPPED_CLICKS.sample(self.skipped),
        ]
