"""Port of the stream that carries journals to the aggregator."""

from typing import Protocol
from uuid import UUID

from engine.clicks.batch import Batch


class ClickStream(Protocol):
    """The Redis streams, one for each journal; an entry is a batch, its id the batch's last sequence."""

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        """Append a batch if the stream's last entry is `previous`. Returns False when it is not.

        False means that the stream lost entries or has others: `reset` it and ship again from the
        watermark. `previous` 0 with an empty stream is always right after a reset.
        """

    async def last(self, journal_id: UUID) -> int | None:
        """Return the last entry's sequence; None when the stream is empty."""

    async def reset(self, journal_id: UUID) -> None:
        """Delete the stream."""

    async def trim(self, journal_id: UUID, below: int) -> None:
        """Delete entries under sequence `below`, never the last one."""

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        """Return entries above a sequence, oldest first. Waits up to `wait_ms` for the first."""
