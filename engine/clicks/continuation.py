"""What continues a position: batches behind it are skipped, overlaps sliced, gaps refused."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.clicks.batch import Batch


class BatchSlice(NamedTuple):
    """The clicks of `batch` above sequence `after`; there is at least one."""

    batch: Batch
    after: int


def batches_after(position: int, batches: Iterable[Batch]) -> list[BatchSlice]:
    """The news in `batches`, in their order, for somebody who has all clicks up to `position`.

    Raises ValueError when a click would be left out: a position that moved over it would lose it.
    """
    news = []
    for batch in batches:
        if batch.first > position + 1:
            raise ValueError(f"clicks {position + 1} to {batch.first - 1} are missing")
        if batch.last > position:
            news.append(BatchSlice(batch, position))
            position = batch.last
    return news
