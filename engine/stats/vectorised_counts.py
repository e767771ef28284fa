"""Sums by dimension of many clicks at once, by sorting columns of numbers.

The same as `summary.fold`, which is the reference. A click adds to some forty rows, so what is done for each
click and row is done by numpy: a row's key is one number (of its scope and value), and sorted, equal ones stand
together, as do the visitors behind each of them. A dimension in which all clicks have one value is not sorted
at all: its rows are those of everything. From 0.4 µs a click, and where all visitors are different 4 µs, with
their sketches. Rows are made a dimension at a time, so that there are never more of them in memory than clicks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.clicks.dimension import ALL_LINKS, Dimension

Numbers: TypeAlias = npt.NDArray[np.int64]
_CLASSES: Final = 3  # clicks, views, bots


class CountScope(NamedTuple):
    """What a row counts: one link (0: the page) or all of a profile's, in one bucket."""

    tenant_id: int
    profile_id: int
    link_id: int
    bucket_us: int


class CountBlock(NamedTuple):
    """Rows as columns, in no order. `visitors` are those of the first row, then those of the second and so on,
    `sizes` how many each row has; those of one row are all different."""

    tenant_ids: list[int]
    profile_ids: list[int]
    link_ids: list[int]
    dimensions: list[int]
    buckets_us: list[int]
    values: list[str]
    clicks: list[int]
    views: list[int]
    bots: list[int]
    sizes: list[int]
    visitors: Numbers


class _Sorted(NamedTuple):
    """Rows by scope and value: their numbers, counts of shape (rows, 3), and their visitors as a Block has."""

    scopes: Numbers
    values: Numbers
    counts: Numbers
    sizes: Numbers
    visitors: Numbers


@dataclass(frozen=True)
class ClickColumns:
    """N clicks. `scope` (N) are numbers of `scopes`, `counted_as` (N) 0 a click, 1 a view, 2 a bot; `visitors`
    (N) 0 where not known; `values` by dimension (N) numbers of `names`. `variants` are the click and the value
    of each pair of the two that belong together."""

    scopes: Sequence[CountScope]
    scope: Numbers
    counted_as: Numbers
    visitors: Numbers
    values: Mapping[Dimension, Numbers]
    variants: tuple[Numbers, Numbers]
    names: Sequence[str]

    def blocks(self) -> Iterator[CountBlock]:
        """All rows, no key twice; at most as many in one block as there are clicks."""
        if not len(self.scope):
            return
        names = np.array(self.names, object)
        links, profiles, profile_of = _levels(self.scopes)
        known = (self.counted_as < _CLASSES - 1) & (self.visitors != 0)
        distinct = _unique(self.visitors)
        visitor = np.searchsorted(distinct, self.visitors)
        for scopes, scope in ((links, self.scope), (profiles, profile_of[self.scope])):
            sorter = _Sorter(scope, self.counted_as, known, visitor, distinct)
            total = sorter.sort(None)
            yield _total(scopes, total)
            if scopes is links:
                yield _links(links, total)
            for dimension, value in self.values.items():
                first = value[0]
                if (value == first).all():
                    yield _block(scopes, dimension, total, names[[first]])
                else:
                    yield _block(scopes, dimension, sorter.sort(value), names)
            yield _block(scopes, Dimension.VARIANT, sorter.sort(*self.variants), names)


class _Sorter:
    """Clicks of one level of scopes."""

    def __init__(
        self, scope: Numbers, counted_as: Numbers, known: npt.NDArray[np.bool_], visitor: Numbers,
        distinct: Numbers,
    ) -> None:  # fmt: skip
        self._scope = scope
        self._counted_as = counted_as
        self._known = known
        self._visitor = visitor
        self._distinct = distinct
        self._visitor_bits = len(distinct).bit_length()

    def sort(self, first: Numbers | None, second: Numbers | None = None) -> _Sorted:
        """By the clicks' values, one each; given two columns, by the values `second` of the clicks `first`."""
        scope, counted_as, known, visitor = (
            self._scope, self._counted_as, self._known, self._visitor,
        )  # fmt: skip
        value = first
        if first is not None and second is not None:
            scope, counted_as = scope[first], counted_as[first]
            known, visitor, value = known[first], visitor[first], second
        value_bits = 0 if value is None else int(value.max()).bit_length()
        key = scope if value is None else scope << value_bits | value
        ordered = np.sort(key << 2 | counted_as)
        begins = np.flatnonzero(_news(ordered))
        numbers = np.diff(begins, append=len(ordered))
        row_of, column = ordered[begins] >> 2, ordered[begins] & 3
        news = _news(row_of)
        keys = row_of[news]
        counts = np.zeros((len(keys), _CLASSES), np.int64)
        counts[np.cumsum(news) - 1, column] = numbers
        pairs = _unique((key[known] << self._visitor_bits) | visitor[known])
        pair_keys = pairs >> self._visitor_bits
        sizes = np.searchsorted(pair_keys, keys, "right") - np.searchsorted(pair_keys, keys)
        visitors = self._distinct[pairs & ((1 << self._visitor_bits) - 1)]
        return _Sorted(keys >> value_bits, keys & ((1 << value_bits) - 1), counts, sizes, visitors)


def _news(ordered: Numbers) -> npt.NDArray[np.bool_]:
    """Where in a sorted column a number stands for the first time."""
    return np.concatenate((np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1]))


def _unique(column: Numbers) -> Numbers:
    """Sorted and each once. (np.unique hashes, which takes ten times as long here.)"""
    ordered = np.sort(column)
    return ordered[_news(ordered)]


def _levels(scopes: Sequence[CountScope]) -> tuple[Numbers, Numbers, Numbers]:
    """Scopes of links and of whole profiles as rows of numbers; for each link's the number of its profile's."""
    found: dict[CountScope, int] = {}
    of = [found.setdefault(one._replace(link_id=ALL_LINKS), len(found)) for one in scopes]
    return np.array(scopes, np.int64), np.array(list(found), np.int64), np.array(of, np.int64)


def _block(
    scopes: Numbers, dimension: Dimension, found: _Sorted, names: npt.NDArray[np.object_]
) -> CountBlock:
    tenant_ids, profile_ids, link_ids, buckets_us = scopes[found.scopes].T.tolist()
    dimensions = [int(dimension)] * len(found.scopes)
    values = names[found.values].tolist()
    clicks, views, bots = found.counts.T.tolist()
    return CountBlock(
        tenant_ids, profile_ids, link_ids, dimensions, buckets_us, values, clicks, views, bots,
        found.sizes.tolist(), found.visitors,
    )  # fmt: skip


def _total(scopes: Numbers, found: _Sorted) -> CountBlock:
    """Of those with visitors, for these alone."""
    some = found.sizes > 0
    of = found._replace(
        scopes=found.scopes[some],
        values=found.values[some],
        counts=np.zeros_like(found.counts[some]),
        sizes=found.sizes[some],
    )
    return _block(scopes, Dimension.TOTAL, of, np.array([""], object))


def _links(scopes: Numbers, found: _Sorted) -> CountBlock:
    """What the profile's links have, as values of its dimension LINK."""
    block = _block(scopes, Dimension.LINK, found, np.array([""], object))
    return block._replace(
        link_ids=[ALL_LINKS] * len(block.link_ids), values=[str(one) for one in block.link_ids]
    )
