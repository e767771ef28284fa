"""Live updates: a profile's clicks of one commit, for live subscribers, and their bytes.

An update has the first `MAX_CLICKS_PER_UPDATE` clicks in full, and the counts of all. Nothing in it tells
visitors apart. Own events are in none.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.clicks.click import CLASS_MASK, Click
from engine.clicks.day_rows import EVENT, how_counted
from engine.clicks.dimension import SPECS
from engine.stats.dimension_counts import dimension_values

MAX_CLICKS_PER_UPDATE: Final = 50
_NAMES: Final = {
    int(dimension): dimension.name.lower() for dimension, spec in SPECS.items() if spec.live
}


class LiveClick(msgspec.Struct, frozen=True, kw_only=True):
    """A click of a live update.

    `at_us`: Unix time in microseconds. `link_id` 0: a view of the page. `values`: known values, by name of
    their dimension.
    """

    at_us: int
    link_id: int
    values: dict[str, str]


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update of one profile: the first clicks of a commit, and the counts of all its clicks."""

    profile_id: int
    clicks: list[LiveClick]
    counts: tuple[int, int, int]  # clicks, views, bots


def live_update(profile_id: int, clicks: Iterable[Click]) -> LiveUpdate | None:
    """Return the update of a profile's clicks; None if none of them is counted."""
    counts = [0, 0, 0]
    live_clicks: list[LiveClick] = []
    for click in clicks:
        counted_as = how_counted(click.kind, click.classification & CLASS_MASK)
        if counted_as is None or counted_as == EVENT:
            continue
        counts[counted_as] += 1
        if len(live_clicks) < MAX_CLICKS_PER_UPDATE:
            live_clicks.append(_live_click(click))
    if not live_clicks:
        return None
    return LiveUpdate(
        profile_id=profile_id, clicks=live_clicks, counts=(counts[0], counts[1], counts[2])
    )


def _live_click(click: Click) -> LiveClick:
    values = {
        _NAMES[dimension]: value
        for dimension, value in dimension_values(click)
        if dimension in _NAMES and value
    }
    return LiveClick(at_us=click.at_us, link_id=click.link_id, values=values)


def encode(update: LiveUpdate) -> bytes:
    return msgspec.json.encode(update)


def decode(data: bytes) -> LiveUpdate | None:
    """Return the update, or None for other bytes."""
    try:
        return msgspec.json.decode(data, type=LiveUpdate)
    except msgspec.DecodeError:
        return None
