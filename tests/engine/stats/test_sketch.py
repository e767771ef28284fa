"""Invariant: the size of a sketch is within 2 %, however it was merged."""

import random
from itertools import accumulate, pairwise

import numpy as np
import pytest
from datasketches import hll_sketch
from hypothesis import given
from hypothesis import strategies as st

from engine.stats.sketch import LG_K, sketch, sketches, union, union_if_larger, union_size

I64 = st.integers(-(2**63), 2**63 - 1)


def of(visitors: list[int]) -> bytes:
    (written,) = sketches(np.array(visitors, np.int64), [len(visitors)])
    assert written is not None
    return written


def coupons(data: bytes) -> set[int]:
    """Return the coupons of a compact list or set."""
    return set(np.frombuffer(data[8 if len(data) <= 36 else 12 :], np.uint32).tolist())


@given(st.lists(st.sets(I64 | st.integers(-3, 3), max_size=60), max_size=5))
def test_sketches_written_in_bulk_equal_the_librarys(visitor_sets: list[set[int]]) -> None:
    flat = [visitor for visitors in visitor_sets for visitor in visitors]
    written = list(sketches(np.array(flat, np.int64), [len(visitors) for visitors in visitor_sets]))
    for data, visitors in zip(written, visitor_sets, strict=True):
        if not visitors:
            assert data is None
            continue
        assert data is not None
        reference = sketch(visitors)
        assert len(data) == len(reference)
        assert coupons(data) == coupons(reference)
        read = hll_sketch.deserialize(data)
        assert read.lg_config_k == LG_K
        assert read.get_estimate() == hll_sketch.deserialize(reference).get_estimate()


@given(
    st.sets(st.integers(1, 40), min_size=1),
    st.sets(st.integers(1, 40), min_size=1),
    st.integers(0, 400),
)
def test_a_larger_union_replaces_the_stored_sketch(
    visitors: set[int], other: set[int], more: int
) -> None:
    visitors = visitors | set(range(1000, 1000 + more))
    stored = of(list(visitors))
    for stored_sketch in (stored, sketch(visitors)):
        written = union_if_larger(stored_sketch, of(list(other)))
        assert (written is None) == (other <= visitors) or more > 200
        assert union_size([written or stored_sketch]) == len(visitors | other)
        assert len(written or stored_sketch) == len(sketch(visitors | other))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 23, 24, 25, 191, 192, 2999, 3000, 3001, 3072, 9000])
def test_sketches_of_every_size_are_right(size: int) -> None:
    visitors = [random.Random(n).getrandbits(63) for n in range(size)]
    written = list(sketches(np.array(visitors, np.int64), [0, size]))
    assert written[0] is None
    if size:
        assert written[1] is not None
        assert union_size([written[1]]) == pytest.approx(size, rel=0.01)
        more = union([written[1], sketch([5, 6])])
        assert union_size([more]) == pytest.approx(size + 2, rel=0.01)
        assert union_size([union([written[1], written[1]])]) == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("size", [1, 192, 1000, 3000])
def test_a_few_thousand_visitors_are_counted_exactly(size: int) -> None:
    visitors = np.random.default_rng(size).integers(-(2**63), 2**63 - 1, size)
    third = size // 3
    parts = [data for data in sketches(visitors, [third, third, size - 2 * third]) if data]
    whole = of(visitors.tolist())
    assert union_size([whole, whole]) == size
    assert union_size([*parts, parts[0]]) == size


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [10_000, 100_000, 1_000_000])
def test_within_two_percent(size: int, seed: int) -> None:
    """Merge a day's quarters; each visitor is in two of them."""
    visitors = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, size)
    bounds = [0, *accumulate([size // 96] * 95), size]
    parts = [
        np.concatenate((visitors[start:end], visitors[end : 2 * end - start]))
        for start, end in pairwise(bounds)
    ]
    data = list(sketches(np.concatenate(parts), [len(part) for part in parts]))
    assert union_size([one for one in data if one]) == pytest.approx(size, rel=0.02)


def test_sketches_of_few_visitors_are_small() -> None:
    assert len(of([1])) == 12
    assert len(of(list(range(1000)))) == 4012
    assert len(sketch(range(1_000_00))) < 17_000
