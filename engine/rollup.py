"""Rollups: counts per profile, link and 15-minute bucket.

Every time zone in use is offset from UTC by a multiple of 15 minutes, so any zone's day, a DST day
too, is an exact sum of buckets.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from engine.click import BOT_CLASSES, CLASS_MASK, COUNTED_CLASSES, Click, ClickKind

TIME_BUCKET_US: Final = 15 * 60 * 1_000_000
TimeInterval = Literal["15m", "hour", "day", "week", "month"]
INTERVALS: Final[tuple[str, ...]] = get_args(TimeInterval)


class RollupKey(NamedTuple):
    """The conflict key, in the order that upserts are sorted by, so that no two can deadlock."""

    tenant_id: int
    profile_id: int
    link_id: int
    time_bucket_us: int


class RollupCounts(NamedTuple):
    """`bots`: clicks and views that machines made, which are in neither of the others."""

    clicks: int
    views: int
    bots: int = 0


def rollup_counts(clicks: Iterable[Click]) -> list[tuple[RollupKey, RollupCounts]]:
    """Sums of the clicks per key, sorted by key. HEADs add nothing."""
    sums: dict[tuple[int, int, int, int], list[int]] = {}
    for kind, verdict, at_us, tenant_id, profile_id, link_id, *_ in clicks:
        judged = verdict & CLASS_MASK
        if judged not in COUNTED_CLASSES and judged not in BOT_CLASSES:
            continue
        key = (tenant_id, profile_id, link_id, at_us - at_us % TIME_BUCKET_US)
        entry = sums.get(key)
        if entry is None:
            entry = sums[key] = [0, 0, 0]
        entry[2 if judged in BOT_CLASSES else kind != ClickKind.CLICK] += 1
    return [(RollupKey(*key), RollupCounts(*sums[key])) for key in sorted(sums)]


class MetricValues(msgspec.Struct, frozen=True):
    """Sums. `visitors` None: not asked for."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int | None = None


class StatsRow(msgspec.Struct, frozen=True):
    """`time` is the start of the interval, aware, in the asked zone, or None where rows are not by time;
    `values` stand in the order of the query's groups, '' for what is not known."""

    time: datetime | None
    clicks: int
    views: int
    bots: int = 0
    visitors: int | None = None
    values: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that have counts: by time oldest first, of groups in the order asked for. `totals` are of all that
    the query's filters let pass, also of groups beyond its limit. `as_of`: when the last fold was committed,
    if ever."""

    rows: tuple[StatsRow, ...]
    as_of: datetime | None
    totals: MetricValues = MetricValues()
