"""A plain click buffer: the reference engine/stats/dimension_counts.py behind the port."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import numpy as np

from engine.clicks import referrer
from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.copy_rows import clamped
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.clicks.journal_format import clicks, validate_frames
from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.increments import ExperimentIncrements
from engine.stats.dimension_counts import (
    DimensionCountKey,
    DimensionCounts,
    count_by_dimension,
    experiment_increments,
    visitor_number,
)
from engine.stats.vectorised_counts import CountBlock


class PlainClickBuffer:
    sums = staticmethod(count_by_dimension)

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
        for _ in validate_frames(batch):
            pass
        taken = clicks(batch.payload, after)
        kept = [one._replace(at_us=clamped(one.at_us)) for one in taken]
        self._kept.setdefault(journal_id, []).extend(kept)

    def drop(self, journal_id: UUID) -> None:
        self._kept.pop(journal_id, None)

    def profiles(self) -> set[tuple[int, int]]:
        return {(one.tenant_id, one.profile_id) for one in self._all()}

    def blocks(self) -> Iterator[CountBlock]:
        sums = self.sums(self._all())
        if not sums:
            return
        counts = [[one.clicks, one.views, one.bots, len(one.visitors)] for one in sums.values()]
        visitors = [visitor for one in sums.values() for visitor in one.visitors]
        columns: list[Any] = [list(column) for column in zip(*sums, strict=True)]
        columns += [list(column) for column in zip(*counts, strict=True)]
        yield CountBlock._make([*columns, np.array(visitors, np.int64)])

    def experiment_increments(self) -> ExperimentIncrements:
        return experiment_increments(self._all())


def by_referrer(clicks: Iterable[Click]) -> dict[DimensionCountKey, DimensionCounts]:
    """What `fold` says of referrers and of everything: people's clicks only."""
    found: dict[DimensionCountKey, DimensionCounts] = {}
    for click in clicks:
        bucket_us = click.at_us - click.at_us % TIME_BUCKET_US
        visitors = {visitor_number(click.visitor_id)}
        host = referrer.referrer_host(click.referrer.decode())
        for link_id in (click.link_id, ALL_LINKS):
            place = click.tenant_id, click.profile_id, link_id
            key = DimensionCountKey(*place, Dimension.REFERRER, bucket_us, host)
            found.setdefault(key, DimensionCounts()).add(DimensionCounts(1, 0, 0, visitors))
            total = key._replace(dimension=Dimension.TOTAL, value="")
            found.setdefault(total, DimensionCounts()).add(DimensionCounts(visitors=visitors))
    return found


class SmallClickBuffer(PlainClickBuffer):
    """Counts two dimensions only, as a simulation counts much and often."""

    sums = staticmethod(by_referrer)
