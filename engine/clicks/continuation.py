"""Continuation of a watermark: batches at or below it are skipped, overlaps sliced, gaps refused."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.clicks.batch import Batch


class BatchSlice(NamedTuple):
    """The clicks of `batch` above sequence `after`; there is at least one."""

    batch: Batch
    after: int


def batches_after(watermark: int, batches: Iterable[Batch]) -> list[BatchSlice]:
    """Return the slices of `batches` above `watermark`, in their order.

    Raises ValueError when a click would be left out: a watermark that moved over it would lose it.
    """
    slices = []
    for batch in batches:
        if batch.first > watermark + 1:
            raise ValueError(f"clicks {watermark + 1} to {batch.first - 1} are missing")
        if batch.last > watermark:
            slices.append(BatchSlice(batch, watermark))
            watermark = batch.last
    return slices
