"""Raw rows and journals in memory: the tables behind the twins of ledger and stats reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from engine.clicks.batch import Batch
from engine.clicks.click import Click


@dataclass
class MemoryJournalRow:
    """A row of `journals`. `lease_expires` is in seconds of the clock."""

    folded: int = 0
    fencing_token: int = 0
    owner: str | None = None
    expires: float = 0.0
    ttl_s: float = 0.0
    last_sequence: int | None = None
    retired: bool = False

    @property
    def is_leasable(self) -> bool:
        return not self.retired and (self.last_sequence is None or self.folded < self.last_sequence)

    def release(self) -> None:
        self.owner = None
        self.expires = 0.0

    def renew(self, now: float, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self.expires = now + ttl_s


@dataclass
class MemoryClickTables:
    """The tables. Several ledgers (aggregators, edges) and readers may share them. `deltas` are the clicks
    that were counted, in the order of the folds; `aggregators` says until when each counts as alive."""

    journals: dict[UUID, MemoryJournalRow] = field(default_factory=dict)
    aggregators: dict[str, float] = field(default_factory=dict)
    clicks: list[tuple[UUID, Click]] = field(default_factory=list)
    deltas: list[Click] = field(default_factory=list)
    dead_letters: list[tuple[UUID, Batch, str]] = field(default_factory=list)
    committed_at: datetime | None = None
    rollbacks: int = 0

    def copy(self) -> "MemoryClickTables":
        """Return a copy, as an asynchronous standby has it that is behind from then on."""
        return replace(
            self,
            journals={key: replace(row) for key, row in self.journals.items()},
            aggregators=dict(self.aggregators),
            clicks=list(self.clicks),
            deltas=list(self.deltas),
            dead_letters=list(self.dead_letters),
        )

    def go_back(self, earlier: "MemoryClickTables") -> None:
        """Become the copy, as after a failover to that standby; all who share these tables see it."""
        self.journals.clear()
        self.journals.update(earlier.journals)
        self.aggregators = earlier.aggregators
        self.clicks, self.deltas = earlier.clicks, earlier.deltas
        self.dead_letters = earlier.dead_letters
        self.committed_at = earlier.committed_at
        self.rollbacks += 1

    def add(self, journal_id: UUID, clicks: Sequence[Click]) -> None:
        self.clicks += ((journal_id, click) for click in clicks)
        self.deltas += clicks
