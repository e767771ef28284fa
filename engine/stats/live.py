"""Clicks as they come, for who watches a profile: what is told of each, and how it is sent.

A message has a profile's clicks of one commit: the first `MAX_CLICKS_PER_UPDATE` in full, and the counts of all. Nothing
in it tells visitors apart.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.clicks.click import BOT_CLASSES, CLASS_MASK, COUNTED_CLASSES, Click, ClickKind
from engine.clicks.dimension import SPECS
from engine.stats.dimension_counts import dimension_values

MAX_CLICKS_PER_UPDATE: Final = 50
_NAMES: Final = {
    int(dimension): dimension.name.lower() for dimension, spec in SPECS.items() if spec.live
}


class LiveClick(msgspec.Struct, frozen=True, kw_only=True):
    """`at_us`: Unix time in microseconds. `link_id` 0: a view of the page. `values` by name of a dimension, as
    far as they are known."""

    at_us: int
    link_id: int
    values: dict[str, str]


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Of one profile. The counts are of all its clicks of a commit, `clicks` of some of them."""

    profile_id: int
    clicks: list[LiveClick]
    counts: tuple[int, int, int]  # clicks, views, bots


def live_update(profile_id: int, clicks: Iterable[Click]) -> LiveUpdate | None:
    """None when nothing of it is counted."""
    counts = [0, 0, 0]
    told: list[LiveClick] = []
    for click in clicks:
        judged = click.classification & CLASS_MASK
        if judged not in BOT_CLASSES | COUNTED_CLASSES:
            continue
        counts[2 if judged in BOT_CLASSES else int(click.kind != ClickKind.CLICK)] += 1
        if len(told) < MAX_CLICKS_PER_UPDATE:
            told.append(_told(click))
    if not told:
        return None
    return LiveUpdate(profile_id=profile_id, clicks=told, counts=(counts[0], counts[1], counts[2]))


def _told(click: Click) -> LiveClick:
    values = {
        _NAMES[dimension]: value
        for dimension, value in dimension_values(click)
        if dimension in _NAMES and value
    }
    return LiveClick(at_us=click.at_us, link_id=click.link_id, values=values)


def encode(news: LiveUpdate) -> bytes:
    return msgspec.json.encode(news)


def decode(data: bytes) -> LiveUpdate | None:
    """None for what is not ours."""
    try:
        return msgspec.json.decode(data, type=LiveUpdate)
    except msgspec.DecodeError:
        return None
