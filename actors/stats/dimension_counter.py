"""The summariser: what the aggregator has committed → counts by dimension, each click once.

It follows behind: a click is in the plain counts first, and in these some tenths of a second later. It gathers
the clicks of all journals and commits their sums together, as what that costs is by row and hardly by click.
So the busier it is the longer it waits: `COST_SHARE` of the time at most is spent on it.

Each journal has its position in the counts by dimension (`dimension_counted`), which moves in their transaction by
compare-and-set, as the watermark does. Who starts, or takes a journal over, goes on from there: what is at or
below the watermark is read again from the stream and only summed. What is gathered here is lost with the
process, and nothing else.

Bounds: two gatherings, one that is being committed and one that is filled, each of MAX_CLICKS or
MAX_KEYS; when both are full, folding waits. A commit that fails for any reason but a server that is away is
tried MAX_TRIES times; then the clicks are left out of the counts by dimension, which is counted and logged, so
that no journal grows for ever: `waypost rebuild` puts them there, as the raw rows have them.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.record_layout import FormatError
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import BufferedClicks, ClickLedger, JournalLease, WatermarkAdvance

logger = logging.getLogger("waypost.summariser")

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


@dataclass(slots=True, eq=False)
class _Journal:
    """One lease of a journal: `dimension_counted` is committed, `taken` gathered."""

    id: UUID
    token: int
    summarised: int
    taken: int


class DimensionCounter:
    def __init__(self, ledger: ClickLedger, gather: Callable[[], BufferedClicks]) -> None:
        """`gather` makes an empty gathering."""
        self._ledger = ledger
        self._gather = gather
        self._filled: BufferedClicks | None = None
        self._journals: dict[UUID, _Journal] = {}
        self._interval_s = SHORTEST_S
        self._flushed_at = -LONGEST_S
        self._took_at = 0.0
        self._urgent = False
        self._news = trio.Event()
        self._room = trio.Event()
        self.counted = 0
        self.commits = 0
        self.skipped = 0
        self.last_error = ""

    # ---- what the aggregator hands over -----------------------------------------------------------

    def journal_leased(self, position: JournalLease) -> None:
        """A journal that is leased from now on."""
        self.journal_lost(position.journal_id)
        at = position.dimension_counted
        journal = _Journal(position.journal_id, position.fencing_token, at, at)
        self._journals[position.journal_id] = journal

    def journal_lost(self, journal_id: UUID) -> None:
        """A journal that is not leased any more: what is gathered of it is somebody else's.

        What a commit under way has of it stays there: whether that still counts, its fence decides.
        """
        if self._journals.pop(journal_id, None) is not None and self._filled is not None:
            self._filled.drop(journal_id)

    def skip_to(self, journal_id: UUID, sequence: int) -> None:
        """A batch was set aside: the journal, which is settled, is past it in all counts."""
        journal = self._journal(journal_id)
        journal.summarised = journal.taken = sequence

    def buffered_until(self, journal_id: UUID) -> int:
        """Up to where a journal is summarised or about to be. Raises StaleLeaseError."""
        return self._journal(journal_id).taken

    def _journal(self, journal_id: UUID) -> _Journal:
        journal = self._journals.get(journal_id)
        if journal is None:
            raise StaleLeaseError(f"journal {journal_id} was summarised by somebody else")
        return journal

    async def buffer(self, journal_id: UUID, batches: Sequence[Batch]) -> None:
        """Clicks that are committed, in sequence; what was taken before is passed over."""
        for batch in batches:
            while self._is_full():
                await self._room.wait()
            journal = self._journal(journal_id)
            if batch.last <= journal.taken:
                continue
            if self._filled is None:
                self._filled = self._gather()
            try:
                self._filled.add(journal_id, batch, journal.taken)
            except FormatError as error:  # it was whole when it was committed
                self._left_out(journal_id, batch.last - journal.taken, error)
            journal.taken = batch.last
            self._took_at = trio.current_time()
            self._news.set()
            await trio.lowlevel.checkpoint()

    def _is_full(self) -> bool:
        filled = self._filled
        return filled is not None and (filled.clicks >= MAX_CLICKS or filled.keys >= MAX_KEYS)

    async def wait_committed(self, journal_id: UUID) -> None:
        """Wait until all that was taken of a journal is committed."""
        while (journal := self._journal(journal_id)).summarised < journal.taken:
            self._urgent = True
            self._news.set()
            await self._room.wait()

    # ---- committing -------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            await self._due()
            began = trio.current_time()
            await self._flush()
            cost_s = trio.current_time() - began
            self._flushed_at = trio.current_time()
            self._interval_s = min(LONGEST_S, max(SHORTEST_S, cost_s / COST_SHARE - cost_s))

    async def _due(self) -> None:
        """Until there is something, and the interval has passed or nothing more comes."""
        while True:
            self._news = trio.Event()
            now = trio.current_time()
            if self._filled is None:
                await self._news.wait()
                continue
            idle_s = max(IDLE_S, self._interval_s / 8)
            soonest = min(self._flushed_at + self._interval_s, self._took_at + idle_s)
            wait_s = max(soonest, self._flushed_at + SHORTEST_S) - now
            if wait_s <= 0 or self._urgent or self._is_full():
                return
            with trio.move_on_after(wait_s):
                await self._news.wait()

    async def _flush(self) -> None:
        self._urgent = False
        sent, self._filled = self._filled, None
        moves = {
            WatermarkAdvance(one.id, one.summarised, one.taken, one.token): one
            for one in self._journals.values()
            if one.taken > one.summarised
        }
        self._resume_folding()
        failures = tries = 0
        while sent is not None and moves:
            try:
                await self._ledger.commit_dimension_counts(sorted(moves), sent)
                self._moved(moves)
                break
            except StaleLeaseError as error:
                self.last_error = str(error)
                for move in [move for move in moves if move.journal_id in error.journals]:
                    sent.drop(move.journal_id)
                    if self._journals.get(move.journal_id) is moves.pop(move):
                        self.journal_lost(move.journal_id)
            except UnavailableError as error:
                self.last_error = str(error)
                failures += 1
                await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
            except Exception as error:
                tries += 1
                self.last_error = str(error)
                logger.error("counts by dimension cannot be committed: %r", error,
                             extra={"event": "summary_failed"})  # fmt: skip
                if tries == MAX_TRIES:
                    sent = self._gather()
                    for move in moves:
                        self._left_out(
                            move.journal_id, move.to_sequence - move.from_sequence, error
                        )
                await trio.sleep(backoff_s(tries, first_s=0.1, limit_s=1.0))
        self._resume_folding()

    def _moved(self, moves: dict[WatermarkAdvance, _Journal]) -> None:
        self.commits += 1
        for move, journal in moves.items():
            self.counted += move.to_sequence - move.from_sequence
            journal.summarised = move.to_sequence

    def _left_out(self, journal_id: UUID, clicks: int, error: Exception) -> None:
        self.skipped += clicks
        logger.error(
            "%d clicks of journal %s were left out of the counts by dimension: %r",
            clicks, journal_id.hex, error,
            extra={"event": "summary_skipped", "journal": journal_id.hex},
        )  # fmt: skip

    def _resume_folding(self) -> None:
        self._room.set()
        self._room = trio.Event()

    @property
    def lag(self) -> int:
        """Clicks that are gathered and not committed."""
        return sum(one.taken - one.summarised for one in self._journals.values())

    def samples(self) -> list[Sample]:
        return [
            COUNTED_CLICKS.sample(self.counted),
            DIMENSION_COMMITS.sample(self.commits),
            LAG.sample(self.lag),
            SKIPPED_CLICKS.sample(self.skipped),
        ]
