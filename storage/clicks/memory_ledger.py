"""The in-memory twin of storage/clicks/ledger.py: the same guarantees, in plain words.

A transaction is a stretch without a checkpoint; there is one before it and one after, where the
real one waits: a task that is cancelled at the second has committed and does not know, as happens
to the real one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.continuation import batches_after
from engine.clicks.copy_rows import clamped
from engine.clicks.dimension import OTHER
from engine.clicks.journal_format import clicks, validate_frames
from engine.clicks.rollup import RollupCounts, RollupKey, rollup_counts
from engine.common.errors import StaleLeaseError
from engine.experiments.increments import ExperimentIncrements
from engine.stats.dimension_counts import DimensionCountKey, DimensionCounts, max_values
from engine.stats.ledger_ports import (
    BufferedClicks,
    JournalLease,
    JournalWatermarks,
    WatermarkAdvance,
)


@dataclass
class MemoryJournalRow:
    """A row of `journals`. `lease_expires` is in seconds of the clock."""

    folded: int = 0
    dimension_counted: int = 0
    fencing_token: int = 0
    owner: str | None = None
    expires: float = 0.0
    ttl_s: float = 0.0
    retired: bool = False

    def renew(self, now: float, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self.expires = now + ttl_s


@dataclass
class MemoryClickTables:
    """The tables. Several ledgers (aggregators, edges) and readers may share them."""

    journals: dict[UUID, MemoryJournalRow] = field(default_factory=dict)
    clicks: list[tuple[UUID, Click]] = field(default_factory=list)
    rollups: dict[RollupKey, RollupCounts] = field(default_factory=dict)
    sums: dict[DimensionCountKey, DimensionCounts] = field(default_factory=dict)
    observed: list[ExperimentIncrements] = field(default_factory=list)
    dead_letters: list[tuple[UUID, Batch, str]] = field(default_factory=list)
    committed_at: datetime | None = None

    def add(self, journal_id: UUID, news: Sequence[Click]) -> None:
        self.clicks += ((journal_id, click) for click in news)
        for key, counts in rollup_counts(news):
            before = self.rollups.get(key, RollupCounts(0, 0))
            self.rollups[key] = RollupCounts(*map(sum, zip(before, counts, strict=True)))

    def add_dimension_counts(self, gathered: BufferedClicks) -> None:
        for block in gathered.blocks():
            ends = list(accumulate(block.sizes, initial=0))
            for number, key in enumerate(zip(*block[:6], strict=True)):
                of = set(block.visitors[ends[number] : ends[number + 1]].tolist())
                sums = DimensionCounts(
                    block.clicks[number], block.views[number], block.bots[number], of
                )
                self.sums.setdefault(
                    self._own_or_other(DimensionCountKey(*key)), DimensionCounts()
                ).add(sums)
        observed = gathered.experiment_increments()
        if observed.sums:
            self.observed.append(observed)

    def _own_or_other(self, key: DimensionCountKey) -> DimensionCountKey:
        most = max_values(key.dimension, key.link_id)
        if most is None or key in self.sums or key.value in ("", OTHER):
            return key
        beside = sum(key[:5] == one[:5] and one.value not in ("", OTHER) for one in self.sums)
        return key if beside < most else key._replace(value=OTHER)


class MemoryClickLedger:
    """`ClickLedger` in memory. `now` is a clock in Unix seconds, one for all users of `counts`."""

    def __init__(self, counts: MemoryClickTables, now: Callable[[], float]) -> None:
        self._counts = counts
        self._now = now

    async def register(self, journal_id: UUID) -> int:
        await trio.lowlevel.checkpoint()
        return _committed(self._counts.journals.setdefault(journal_id, MemoryJournalRow()))

    async def watermarks(self, journal_id: UUID) -> JournalWatermarks:
        await trio.lowlevel.checkpoint()
        journal = self._counts.journals.get(journal_id)
        return (
            JournalWatermarks(_committed(journal), journal.folded)
            if journal
            else JournalWatermarks(0, 0)
        )

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        journals = sorted(
            (key, journal) for key, journal in self._counts.journals.items() if not journal.retired
        )
        held = [(key, journal) for key, journal in journals if journal.owner == owner][:limit]
        free = [
            (key, journal)
            for key, journal in journals
            if journal.owner is None or (journal.owner != owner and journal.expires <= now)
        ]
        free.sort(key=lambda item: item[1].expires)
        for key, journal in free[: limit - len(held)]:
            journal.owner = owner
            journal.fencing_token += 1
            held.append((key, journal))
        for _, journal in held:
            journal.renew(now, ttl_s)
        positions = [
            JournalLease(key, journal.folded, journal.fencing_token, journal.dimension_counted)
            for key, journal in held
        ]
        await trio.lowlevel.checkpoint()
        return positions

    async def release(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        for journal in self._counts.journals.values():
            if journal.owner == owner:
                journal.owner = None
                journal.expires = 0.0

    async def commit(self, position: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """As the port says, and ValueError for a gap, FormatError for a damaged batch."""
        news = batches_after(position.folded, batches)
        if not news:
            return position
        taken: list[Click] = []
        for batch, after in news:
            for _ in validate_frames(batch):
                pass
            taken += (
                click._replace(at_us=clamped(click.at_us)) for click in clicks(batch.payload, after)
            )
            await trio.lowlevel.checkpoint()
        reached = position._replace(folded=news[-1].batch.last)
        self._move(position, reached)
        self._counts.add(position.journal_id, taken)
        await trio.lowlevel.checkpoint()
        return reached

    async def delete_journal(self, journal_id: UUID) -> None:
        await trio.lowlevel.checkpoint()
        if (journal := self._counts.journals.get(journal_id)) is not None:
            journal.retired = True

    async def dead_letter(self, position: JournalLease, batch: Batch, reason: str) -> JournalLease:
        if not batches_after(position.folded, [batch]):
            return position
        await trio.lowlevel.checkpoint()
        reached = position._replace(folded=batch.last, dimension_counted=batch.last)
        journal = self._counts.journals.get(position.journal_id)
        if journal is not None and journal.dimension_counted != position.folded:
            raise StaleLeaseError(f"journal {position.journal_id} is not summarised")
        self._move(position, reached)
        if journal is not None:
            journal.dimension_counted = batch.last
        self._counts.dead_letters.append((position.journal_id, batch, reason))
        await trio.lowlevel.checkpoint()
        return reached

    async def commit_dimension_counts(
        self, moves: Sequence[WatermarkAdvance], gathered: BufferedClicks
    ) -> None:
        await trio.lowlevel.checkpoint()
        self._summarise(moves, gathered)
        await trio.lowlevel.checkpoint()

    def _summarise(self, moves: Sequence[WatermarkAdvance], gathered: BufferedClicks) -> None:
        stale = {move.journal_id for move in moves if not self._follows(move)}
        if stale:
            raise StaleLeaseError(f"journals {stale} are not where they were summarised to", stale)
        for move in moves:
            self._counts.journals[move.journal_id].dimension_counted = move.to_sequence
        self._counts.add_dimension_counts(gathered)

    def _follows(self, move: WatermarkAdvance) -> bool:
        journal = self._counts.journals.get(move.journal_id)
        return journal is not None and (
            (journal.dimension_counted, journal.fencing_token)
            == (move.from_sequence, move.fencing_token)
            and move.to_sequence <= journal.folded
        )

    def _move(self, position: JournalLease, reached: JournalLease) -> None:
        journal_id, sequence, token, _ = position
        journal = self._counts.journals.get(journal_id)
        if journal is None or (journal.folded, journal.fencing_token) != (sequence, token):
            raise StaleLeaseError(
                f"journal {journal_id} is not at click {sequence} under token {token}"
            )
        now = self._now()
        journal.folded = reached.folded
        if journal.owner is not None:
            journal.renew(now, journal.ttl_s)
        self._counts.committed_at = datetime.fromtimestamp(now, UTC)


def _committed(journal: MemoryJournalRow) -> int:
    return min(journal.folded, journal.dimension_counted)
