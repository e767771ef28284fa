"""Clicks of one profile as columns of numbers, unpacked from any number of deltas and segments.

A column is unpacked when it is first asked for: a question needs few of them. Decoding takes some 30 ns a click
and column.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.clicks.dimension import MULTIVALUED, Dimension
from engine.stats.packed.packed_clicks import (
    COLUMN_OF,
    COUNTED_AS,
    VALUE_COLUMNS,
    VALUE_MARK,
    Numbers,
    PackedClicks,
    has_pseudonyms,
    unpack_links,
    unpack_quarters,
    unpack_texts,
    unpack_visitors,
)
from engine.stats.packed.visitor_numbers import visitor_numbers

QUARTERS: Final = 96  # of a UTC day
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_COUNTED_AS: Final = len(VALUE_COLUMNS["kinds"])  # its place among the values of `kinds`
Mask = npt.NDArray[np.bool_]


class Piece(NamedTuple):
    """Packed clicks whose quarters count from a UTC day."""

    day: date
    clicks: PackedClicks


class Values(NamedTuple):
    """A dimension's values: for each row the click and the number of a name. All dimensions that are not
    MULTIVALUED have one row for each click, in their order."""

    clicks: Numbers
    codes: Numbers
    names: Sequence[str]


class ProfileClicks:
    """Columns of the clicks of some pieces, in the order of the pieces."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces = [piece for piece in pieces if piece.clicks.clicks]
        self._values: dict[Dimension, Values] = {}
        self._links: Numbers | None = None
        self._visitors: Numbers | None = None
        self._counted_as: Numbers | None = None
        self.quarters = self._joined(
            unpack_quarters(packed.quarters, packed.clicks) + quarter_of(day)
            for day, packed in self.pieces
        )

    def __len__(self) -> int:
        return len(self.quarters)

    @property
    def links(self) -> Numbers:
        if self._links is None:
            links = self.values(Dimension.LINK)
            self._links = np.array([int(name) for name in links.names], np.int64)[links.codes]
        return self._links

    @property
    def counted_as(self) -> Numbers:
        """0: clicks, 1: views, 2: bots, 3: own events, as COUNTED_AS has them."""
        if self._counted_as is None:
            self._unpack("kinds")
        assert self._counted_as is not None
        return self._counted_as

    @property
    def visitors(self) -> Numbers:
        """Numbers of visitors: equal ones are of one visitor of one UTC day; 0: not known."""
        if self._visitors is None:
            self._visitors = visitor_numbers(
                [packed for _, packed in self.pieces], self.quarters // QUARTERS
            )
        return self._visitors

    @property
    def pseudonyms(self) -> Numbers:
        """Pseudonyms, 0: not known; of a piece without pseudonyms, numbers that only it has."""
        return self._joined(
            unpack_visitors(packed, number) for number, (_, packed) in enumerate(self.pieces, 1)
        )

    @property
    def has_pseudonyms(self) -> bool:
        """Whether no piece has lost its pseudonyms."""
        return all(has_pseudonyms(packed) for _, packed in self.pieces)

    def values(self, dimension: Dimension) -> Values:
        """Return the values of a dimension but TOTAL."""
        if dimension is Dimension.LINK and dimension not in self._values:
            self._values[dimension] = self._link_values()
        elif dimension not in self._values:
            self._unpack(COLUMN_OF[dimension])
        return self._values[dimension]

    def texts(self, column: str) -> tuple[list[str], Numbers]:
        """Return a column's different texts over all pieces, and for each click the number of its text."""
        numbers: dict[str, int] = {}
        codes = []
        for _, packed in self.pieces:
            texts, own = unpack_texts(packed.texts[column], packed.clicks)
            codes.append(np.array([numbers.setdefault(t, len(numbers)) for t in texts])[own])
        return list(numbers), self._joined(codes)

    def _link_values(self) -> Values:
        """Return the links in ascending order, as numbers of which each piece has its own."""
        columns = [unpack_links(packed) for _, packed in self.pieces]
        links = np.unique(self._joined(own for own, _ in columns))
        codes = self._joined(np.searchsorted(links, own)[of] for own, of in columns)
        return Values(self._every(), codes, [str(link) for link in links.tolist()])

    def _unpack(self, column: str) -> None:
        """Unpack a column of texts into the values of its dimensions."""
        texts, codes = self.texts(column)
        parts = [text.split(VALUE_MARK) for text in texts]
        if column == "variants":
            self._values[Dimension.VARIANT] = _several(parts, codes)
            return
        if column == "events":
            self._values[Dimension.PROPERTY] = _several([part[1:] or [""] for part in parts], codes)
            parts = [part[:1] for part in parts]
        for place, dimension in enumerate(VALUE_COLUMNS[column]):
            if dimension in MULTIVALUED:
                continue
            names: dict[str, int] = {}
            lookup = np.array(
                [names.setdefault(part[place], len(names)) for part in parts], np.int64
            )
            self._values[dimension] = Values(self._every(), lookup[codes], list(names))
        if column == "kinds":
            lookup = np.array([COUNTED_AS.index(part[_COUNTED_AS]) for part in parts], np.int64)
            self._counted_as = lookup[codes]

    def _every(self) -> Numbers:
        return np.arange(len(self), dtype=np.int64)

    @staticmethod
    def _joined(columns: "Iterable[Numbers]") -> Numbers:
        parts = list(columns)
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def quarter_of(day: date) -> int:
    """Return the number of a UTC day's first quarter of an hour since 1970."""
    return (day.toordinal() - _EPOCH_DAY) * QUARTERS


def _several(parts: Sequence[Sequence[str]], codes: Numbers) -> Values:
    """Return the values of a dimension of which each text has several."""
    names: dict[str, int] = {}
    flat = np.array(
        [names.setdefault(name, len(names)) for part in parts for name in part], np.int64
    )
    lengths = np.array([len(part) for part in parts], np.int64)
    starts = np.cumsum(lengths) - lengths
    times = lengths[codes]
    clicks = np.repeat(np.arange(len(codes), dtype=np.int64), times)
    nth = np.arange(len(clicks)) - np.repeat(np.cumsum(times) - times, times)
    return Values(clicks, flat[starts[codes][clicks] + nth], list(names))
