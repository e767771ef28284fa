"""Raw rows of Postgres as columns of numbers, from which dimension counts are rebuilt."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from engine.clicks.click import BOT_CLASSES, ClickKind, VisitorClass
from engine.clicks.dimension import TEXT_COLUMNS, Dimension
from engine.clicks.dimension_values import TRIGGERS
from engine.clicks.record_items import Trigger, unpack_variant_refs
from engine.stats.dimension_counts import KINDS, variant
from engine.stats.vectorised_counts import ClickColumns, CountBlock, CountScope, Numbers

_DIMENSIONS: Final = (*TEXT_COLUMNS.values(), Dimension.TRIGGER, Dimension.KIND)


class RawClickRows:
    """Counted raw clicks of one profile."""

    def __init__(self, tenant_id: int, profile_id: int) -> None:
        self._profile_key = tenant_id, profile_id
        self._scopes: dict[CountScope, int] = {}
        self._rows: list[tuple[int, int, int]] = []
        self._values = array("q")
        self._variants: list[tuple[int, int]] = []
        self._numbers: dict[str | None, int] = {"": 0, None: 0}
        self._names = [""]

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, link_id: int, bucket_us: int, kind: int, visitor_class: int, visitor: int | None,
        trigger: int, exposures: bytes | None, outcomes: bytes | None, *texts: str | None,
    ) -> None:  # fmt: skip
        """Add a click. `texts` are in the order of TEXT_COLUMNS; None: ''."""
        scope = self._scopes.setdefault(
            CountScope(*self._profile_key, link_id, bucket_us), len(self._scopes)
        )
        counted_as = 2 if visitor_class in BOT_CLASSES else int(kind != ClickKind.CLICK)
        self._rows.append((scope, counted_as, visitor or 0))
        number = self._number
        self._values.extend([number(text) for text in texts])
        self._values.append(number(TRIGGERS[Trigger(trigger)]))
        self._values.append(number(KINDS[VisitorClass(visitor_class)]))
        refs = [*unpack_variant_refs(exposures or b""), *unpack_variant_refs(outcomes or b"")]
        for value in {variant(ref): None for ref in refs} or ("",):
            self._variants.append((len(self._rows) - 1, number(value)))

    def _number(self, value: str | None) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self._names)
            self._names.append(value or "")
        return number

    def blocks(self) -> Iterator[CountBlock]:
        scope, counted_as, visitors = _columns(self._rows, 3)
        values = np.array(self._values, np.int64).reshape(-1, len(_DIMENSIONS)).T
        clicks, variant_values = _columns(self._variants, 2)
        yield from ClickColumns(
            list(self._scopes), scope, counted_as, visitors,
            dict(zip(_DIMENSIONS, values, strict=True)), (clicks, variant_values), self._names,
        ).blocks()  # fmt: skip


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> Numbers:
    return np.array(rows, np.int64).reshape(-1, width).T
