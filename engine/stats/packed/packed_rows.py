"""Rows of packed clicks as an archive has them: one for each click, with its values and without its visitor."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from engine.clicks.dimension import Dimension
from engine.stats.packed.packed_clicks import COUNTED_AS
from engine.stats.packed.profile_clicks import ProfileClicks

_QUARTER_S: Final = 900
# All dimensions with one value for each click.
_DIMENSIONS: Final = tuple(
    d for d in Dimension if d not in (Dimension.TOTAL, Dimension.LINK, Dimension.VARIANT)
)


def packed_rows(clicks: ProfileClicks) -> Iterator[dict[str, object]]:
    """Yield a row for each click; values that are not known are left out.

    What the rows are made of is unpacked once, when the first is asked for.
    """
    values = [(d.name.lower(), clicks.values(d)) for d in _DIMENSIONS]
    variants = clicks.values(Dimension.VARIANT)
    variants_of: dict[int, list[str]] = {}
    for click, code in zip(variants.clicks.tolist(), variants.codes.tolist(), strict=True):
        if name := variants.names[code]:
            variants_of.setdefault(click, []).append(name)
    links, quarters, counted_as = clicks.links, clicks.quarters, clicks.counted_as
    for number in range(len(clicks)):
        row: dict[str, object] = {
            "bucket": datetime.fromtimestamp(int(quarters[number]) * _QUARTER_S, UTC),
            "link_id": str(links[number]),
            "counted_as": COUNTED_AS[counted_as[number]],
        }
        row |= {name: text for name, of in values if (text := of.names[of.codes[number]])}
        if number in variants_of:
            row["variants"] = variants_of[number]
        yield row
