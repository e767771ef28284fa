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
        self._buffered: dict[UUID, list[Click]] = {}

    @property
    def clicks(self) -> int:
        return len(self._all())

    @property
    def keys(self) -> int:
        return len({click.link_id for click in self._all()})

    def _all(self) -> list[Click]:
        return [click for buffered in self._buffered.values() for click in buffered]

    def add(self, journal_id: UUID, batch: Batch, after: int) -> None:
        for _ in validate_frames(batch):
            pass
        clamped_clicks = [
            click._replace(at_us=clamped(click.at_us)) for click in clicks(batch.payload, after)
        ]
        self._buffered.setdefault(journal_id, []).extend(clamped_clicks)

    def drop(self, journal_id: UUID) -> None:
        self._buffered.pop(journal_id, None)

    def profiles(self) -> set[tuple[int, int]]:
        return {(click.tenant_id, click.profile_id) for click in self._all()}

    def blocks(self) -> Iterator[CountBlock]:
        sums = self.sums(self._all())
        if not sums:
            return
        counts = [[row.clicks, row.views, row.bots, len(row.visitors)] for row in sums.values()]
        visitors = [visitor for row in sums.values() for visitor in row.visitors]
        columns: list[Any] = [list(column) for column in zip(*sums, strict=True)]
        columns += [list(column) for column in zip(*counts, strict=True)]
        yield CountBlock._make([*columns, np.array(visitors, np.int64)])

    def experiment_increments(self) -> ExperimentIncrements:
        return experiment_increments(self._all())


def by_referrer(clicks: Iterable[Click]) -> dict[DimensionCountKey, DimensionCounts]:
    """Return the counts by referrer and in total, as `fold` does; all clicks must be human."""
    sums: dict[DimensionCountKey, DimensionCounts] = {}
    for click in clicks:
        bucket_us = click.at_us - click.at_us % TIME_BUCKET_US
        visitors = {visitor_number(click.visitor_id)}
        host = referrer.referrer_host(click.referrer.decode())
        for link_id in (click.link_id, ALL_LINKS):
            place = click.tenant_id, click.profile_id, link_id
            key = DimensionCountKey(*place, Dimension.REFERRER, bucket_us, host)
            sums.setdefault(key, DimensionCounts()).add(DimensionCounts(1, 0, 0, visitors))
            total = key._replace(dimension=Dimension.TOTAL, value="")
            sums.setdefault(total, DimensionCounts()).add(DimensionCounts(visitors=visitors))
    return sums


class SmallClickBuffer(PlainClickBuffer):
    """A buffer that counts two dimensions only, because a simulation counts often."""

    sums = staticmethod(by_referrer)
