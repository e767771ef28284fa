"""What the aggregator hands over to be counted by dimension; see `engine.ports.ClickLedger.summarise`."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol
from uuid import UUID

from engine.batch import Batch
from engine.observation import ExperimentIncrements
from engine.tally import CountBlock


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
    """Clicks of several journals that wait to be summed by dimension (engine/gathering.py)."""

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
