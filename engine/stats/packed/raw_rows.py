"""Raw rows of Postgres as packed clicks, by which a day is counted anew."""

from typing import Final

from engine.clicks.click import VISITOR_BYTES, VisitorClass
from engine.clicks.day_rows import how_counted
from engine.clicks.dimension import TEXT_COLUMNS
from engine.clicks.dimension_values import TRIGGERS
from engine.clicks.record_items import Trigger, unpack_variant_refs
from engine.stats.dimension_counts import KINDS, variant
from engine.stats.packed.click_packer import distinct, joined
from engine.stats.packed.packed_clicks import (
    COUNTED_AS,
    VALUE_COLUMNS,
    PackedClicks,
    pack_links,
    pack_pseudonyms,
    pack_quarters,
    pack_texts,
)

_PLACES: Final = {dimension: place for place, dimension in enumerate(TEXT_COLUMNS.values())}
# Columns of values that stand in raw rows as texts.
_TEXTS: Final = {
    name: tuple(_PLACES[dimension] for dimension in dimensions)
    for name, dimensions in VALUE_COLUMNS.items()
    if all(dimension in _PLACES for dimension in dimensions)
}


class RawClickRows:
    """Raw clicks of one profile's UTC day that are counted, in the order of their time."""

    def __init__(self) -> None:
        self._quarters: list[int] = []
        self._links: list[int] = []
        self._visitors: list[bytes] = []
        self._columns: dict[str, list[str]] = {name: [] for name in VALUE_COLUMNS}

    def __len__(self) -> int:
        return len(self._quarters)

    def add(
        self, link_id: int, quarter: int, kind: int, visitor_class: int, visitor: int | None,
        trigger: int, exposures: bytes | None, outcomes: bytes | None, event: str | None, *texts: str | None,
    ) -> None:  # fmt: skip
        """Add a click if it is counted. `quarter` is that of its day; `texts` are in the order of TEXT_COLUMNS;
        None: ''."""
        counted_as = how_counted(kind, visitor_class)
        if counted_as is None:
            return
        self._quarters.append(quarter)
        self._links.append(link_id)
        self._visitors.append((visitor or 0).to_bytes(VISITOR_BYTES, "big", signed=True))
        for name, places in _TEXTS.items():
            self._columns[name].append(joined([texts[place] or "" for place in places]))
        kind_name = KINDS[VisitorClass(visitor_class)]
        self._columns["kinds"].append(
            joined((TRIGGERS[Trigger(trigger)], kind_name, COUNTED_AS[counted_as]))
        )
        refs = [*unpack_variant_refs(exposures or b""), *unpack_variant_refs(outcomes or b"")]
        self._columns["variants"].append(joined({variant(ref): None for ref in refs}))
        self._columns["events"].append(event or "")

    def packed(self) -> PackedClicks:
        """Return the clicks packed; there must be some."""
        return PackedClicks(
            len(self),
            pack_quarters(self._quarters),
            pack_links(*distinct(self._links)),
            {name: pack_texts(*distinct(column)) for name, column in self._columns.items()},
            pack_pseudonyms(b"".join(self._visitors)),
        )
