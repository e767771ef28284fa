"""Repacking: packed clicks of several pieces as one, and as columns for the tables of hot days."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, TypeVar

import numpy as np

from engine.clicks.day_rows import EVENT
from engine.clicks.dimension import ALL_LINKS, EVENT_DIMENSIONS, Dimension
from engine.stats.packed.column_sums import group_sums
from engine.stats.packed.numbering import number_groups
from engine.stats.packed.packed_clicks import (
    COLUMN_OF,
    VALUE_COLUMNS,
    Numbers,
    PackedClicks,
    pack_links,
    pack_pseudonyms,
    pack_quarters,
    pack_texts,
    pack_visitors,
)
from engine.stats.packed.profile_clicks import Mask, Piece, ProfileClicks, quarter_of
from engine.stats.vectorised_counts import ClickColumns, CountScope

_QUARTER_US = 900_000_000

T = TypeVar("T")


def repacked(
    clicks: ProfileClicks, day: date, *, as_segment: bool, chosen: Mask | None = None
) -> PackedClicks:
    """Return the clicks, or the chosen ones of them, packed as one, with quarters from `day` on.

    As a segment, visitors are numbers, and their pseudonyms a column of its own that can be deleted; they are
    left out if a piece has lost its own.
    """
    order = np.argsort(clicks.quarters, kind="stable")
    if chosen is not None:
        order = order[chosen[order]]
    links = clicks.values(Dimension.LINK)
    texts = {}
    for column in VALUE_COLUMNS:
        values, codes = clicks.texts(column)
        texts[column] = pack_texts(*_used(values, codes[order]))
    pseudonyms: bytes | None = None
    if not as_segment:
        visitors = pack_pseudonyms(clicks.pseudonyms[order].astype(">i8").tobytes())
    else:
        visitors, pseudonyms = pack_visitors(clicks.pseudonyms[order])
        pseudonyms = pseudonyms if clicks.has_pseudonyms else None
    return PackedClicks(
        len(order),
        pack_quarters(clicks.quarters[order] - quarter_of(day)),
        pack_links(*_used([int(name) for name in links.names], links.codes[order])),
        texts,
        visitors,
        pseudonyms,
    )


def _used(values: Sequence[T], codes: Numbers) -> tuple[Sequence[T], Numbers]:
    """Return the values that are used, and their numbers."""
    numbers, firsts = number_groups((codes,))
    if len(firsts) == len(values):
        return values, codes
    return [values[number] for number in codes[firsts].tolist()], numbers


def without_events(clicks: ProfileClicks, day: date) -> tuple[ProfileClicks, PackedClicks | None]:
    """Return the clicks of a day that are no own events, and its own events packed, if there are any."""
    events = clicks.counted_as == EVENT
    if not events.any():
        return clicks, None
    others = repacked(clicks, day, as_segment=False, chosen=~events)
    return ProfileClicks([Piece(day, others)]), repacked(
        clicks, day, as_segment=False, chosen=events
    )


class RollupColumns(NamedTuple):
    """Counts by link (ALL_LINKS: the profile) and quarter of an hour since 1970, as columns."""

    links: list[int]
    quarters: list[int]
    clicks: list[int]
    views: list[int]
    bots: list[int]


def rollups_of(clicks: ProfileClicks) -> RollupColumns:
    every = np.arange(len(clicks))
    link_codes = clicks.values(Dimension.LINK).codes
    of_links = group_sums(clicks, every, (link_codes, clicks.quarters), visitors=False)
    of_profile = group_sums(clicks, every, (clicks.quarters,), visitors=False)
    (quarters,) = of_profile.keys
    linked = np.array([int(name) for name in clicks.values(Dimension.LINK).names], np.int64)
    links = np.append(linked[of_links.keys[0]], np.full(len(quarters), ALL_LINKS))
    counts = np.concatenate((of_links.counts, of_profile.counts))
    return RollupColumns(
        links.tolist(), [*of_links.keys[1].tolist(), *quarters.tolist()],
        *(column.tolist() for column in counts.T),
    )  # fmt: skip


def count_columns(clicks: ProfileClicks, tenant_id: int, profile_id: int) -> ClickColumns:
    """Return the clicks as columns of which counts by dimension are made. There must be no own events."""
    scope, firsts = number_groups((clicks.values(Dimension.LINK).codes, clicks.quarters))
    scopes = zip(clicks.links[firsts].tolist(), clicks.quarters[firsts].tolist(), strict=True)
    names: list[str] = []
    values: dict[Dimension, Numbers] = {}
    for dimension in COLUMN_OF:
        if dimension in EVENT_DIMENSIONS:
            continue
        of_dimension = clicks.values(dimension)
        values[dimension] = of_dimension.codes + len(names)
        names += of_dimension.names
    variants = clicks.values(Dimension.VARIANT)
    variant_codes = values.pop(Dimension.VARIANT)
    return ClickColumns(
        [
            CountScope(tenant_id, profile_id, link, quarter * _QUARTER_US)
            for link, quarter in scopes
        ],
        scope,
        clicks.counted_as,
        clicks.pseudonyms,
        values,
        (variants.clicks, variant_codes),
        names,
    )
