"""Rows of packed clicks as an archive has them: one for each click, with its values and without its visitor."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from engine.clicks.dimension import MULTIVALUED, Dimension
from engine.stats.packed.packed_clicks import COUNTED_AS
from engine.stats.packed.profile_clicks import ProfileClicks, Values

_QUARTER_S: Final = 900
# All dimensions with one value for each click.
_DIMENSIONS: Final = tuple(
    d for d in Dimension if d not in {Dimension.TOTAL, Dimension.LINK} | MULTIVALUED
)


def packed_rows(clicks: ProfileClicks) -> Iterator[dict[str, object]]:
    """Yield a row for each click; values that are not known are left out.

    What the rows are made of is unpacked once, when the first is asked for.
    """
    values = [(d.name.lower(), clicks.values(d)) for d in _DIMENSIONS]
    variants_of = _several(clicks.values(Dimension.VARIANT))
    properties_of = _several(clicks.values(Dimension.PROPERTY))
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
        if number in properties_of:
            row["properties"] = properties_of[number]
        yield row


def _several(values: Values) -> dict[int, list[str]]:
    """Return the known values of clicks that have some."""
    values_of: dict[int, list[str]] = {}
    for click, code in zip(values.clicks.tolist(), values.codes.tolist(), strict=True):
        if name := values.names[code]:
            values_of.setdefault(click, []).append(name)
    return values_of
