"""Rollups: counts per profile, link and time bucket of 15 minutes.

Every time zone in use is offset from UTC by a multiple of 15 minutes, so any zone's day, a DST day
too, is an exact sum of buckets.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.clicks.click import CLASS_MASK, Click
from engine.clicks.day_rows import EVENT, how_counted

TIME_BUCKET_US: Final = 15 * 60 * 1_000_000


class RollupKey(NamedTuple):
    """The conflict key, in the order that upserts are sorted by, so that no two can deadlock."""

    tenant_id: int
    profile_id: int
    link_id: int
    time_bucket_us: int


class RollupCounts(NamedTuple):
    """`bots`: clicks and views of bots, monitors, previews and prefetches, in neither of the others."""

    clicks: int
    views: int
    bots: int = 0


def rollup_counts(clicks: Iterable[Click]) -> list[tuple[RollupKey, RollupCounts]]:
    """Return the counts of the clicks per key, sorted by key. HEAD requests and own events add nothing."""
    sums: dict[tuple[int, int, int, int], list[int]] = {}
    for kind, classification, at_us, tenant_id, profile_id, link_id, *_ in clicks:
        counted_as = how_counted(kind, classification & CLASS_MASK)
        if counted_as is None or counted_as == EVENT:
            continue
        key = (tenant_id, profile_id, link_id, at_us - at_us % TIME_BUCKET_US)
        entry = sums.get(key)
        if entry is None:
            entry = sums[key] = [0, 0, 0]
        entry[counted_as] += 1
    return [(RollupKey(*key), RollupCounts(*sums[key])) for key in sorted(sums)]
