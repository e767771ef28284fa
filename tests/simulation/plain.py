"""Clicks that wait to be summed, the plain way: the reference of engine/summary.py behind the port."""

from collections.abc import Iterator
from uuid import UUID

import numpy as np

from engine.batch import Batch
from engine.click import Click
from engine.copy_rows import checked_frames, clamped
from engine.journal_format import clicks
from engine.observation import Observed
from engine.summary import fold, observed
from engine.tally import Block


class PlainGathering:
    def __init__(self) -> None:
        self._kept: dict[UUID, list[Click]] = {}

    @property
    def clicks(self) -> int:
        return len(self._all())

    @property
    def keys(self) -> int:
        return len({one.link_id for one in self._all()})

    def _all(self) -> list[Click]:
        return [one for kept in self._kept.values() for one in kept]

    def add(self, journal_id: UUID, batch: Batch, after: int) -> None:
        for _ in checked_frames(batch):
            pass
        taken = clicks(batch.payload, after)
        kept = [one._replace(at_us=clamped(one.at_us)) for one in taken]
        self._kept.setdefault(journal_id, []).extend(kept)

    def drop(self, journal_id: UUID) -> None:
        self._kept.pop(journal_id, None)

    def profiles(self) -> set[tuple[int, int]]:
        return {(one.tenant_id, one.profile_id) for one in self._all()}

    def blocks(self) -> Iterator[Block]:
        sums = fold(self._all())
        if not sums:
            return
        columns = [list(column) for column in zip(*sums, strict=True)]
        counts = [[one.clicks, one.views, one.bots, len(one.visitors)] for one in sums.values()]
        visitors = [visitor for one in sums.values() for visitor in one.visitors]
        yield Block(
            *columns,
            *[list(column) for column in zip(*counts, strict=True)],
            np.array(visitors, np.int64),
        )

    def observed(self) -> Observed:
        return observed(self._all())
