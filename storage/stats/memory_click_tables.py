"""Raw rows, rollups and counts by dimension in memory: the tables behind the twins of ledger and stats
reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.dimension import OTHER
from engine.clicks.rollup import RollupCounts, RollupKey, rollup_counts
from engine.experiments.increments import ExperimentIncrements
from engine.stats.dimension_counts import DimensionCountKey, DimensionCounts, max_values
from engine.stats.ledger_ports import (
    BufferedClicks,
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
    last_sequence: int | None = None
    retired: bool = False

    @property
    def committed(self) -> int:
        return min(self.folded, self.dimension_counted)

    @property
    def is_leasable(self) -> bool:
        return not self.retired and (
            self.last_sequence is None or self.committed < self.last_sequence
        )

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
    experiment_increments: list[ExperimentIncrements] = field(default_factory=list)
    dead_letters: list[tuple[UUID, Batch, str]] = field(default_factory=list)
    committed_at: datetime | None = None
    rollbacks: int = 0

    def copy(self) -> "MemoryClickTables":
        """Return a copy, as an asynchronous standby has it that is behind from then on."""
        return replace(
            self,
            journals={key: replace(row) for key, row in self.journals.items()},
            clicks=list(self.clicks),
            rollups=dict(self.rollups),
            sums={
                key: replace(counts, visitors=set(counts.visitors))
                for key, counts in self.sums.items()
            },
            experiment_increments=list(self.experiment_increments),
            dead_letters=list(self.dead_letters),
        )

    def go_back(self, earlier: "MemoryClickTables") -> None:
        """Become the copy, as after a failover to that standby; all who share these tables see it."""
        self.journals.clear()
        self.journals.update(earlier.journals)
        self.clicks, self.rollups, self.sums = earlier.clicks, earlier.rollups, earlier.sums
        self.experiment_increments = earlier.experiment_increments
        self.dead_letters = earlier.dead_letters
        self.committed_at = earlier.committed_at
        self.rollbacks += 1

    def add(self, journal_id: UUID, clicks: Sequence[Click]) -> None:
        self.clicks += ((journal_id, click) for click in clicks)
        for key, counts in rollup_counts(clicks):
            before = self.rollups.get(key, RollupCounts(0, 0))
            self.rollups[key] = RollupCounts(*map(sum, zip(before, counts, strict=True)))

    def add_dimension_counts(self, buffer: BufferedClicks) -> None:
        for block in buffer.blocks():
            ends = list(accumulate(block.sizes, initial=0))
            for number, key in enumerate(zip(*block[:6], strict=True)):
                of = set(block.visitors[ends[number] : ends[number + 1]].tolist())
                sums = DimensionCounts(
                    block.clicks[number], block.views[number], block.bots[number], of
                )
                self.sums.setdefault(
                    self._own_or_other(DimensionCountKey(*key)), DimensionCounts()
                ).add(sums)
        increments = buffer.experiment_increments()
        if increments.sums:
            self.experiment_increments.append(increments)

    def _own_or_other(self, key: DimensionCountKey) -> DimensionCountKey:
        most = max_values(key.dimension, key.link_id)
        if most is None or key in self.sums or key.value in ("", OTHER):
            return key
        beside = sum(key[:5] == one[:5] and one.value not in ("", OTHER) for one in self.sums)
        return key if beside < most else key._replace(value=OTHER)
