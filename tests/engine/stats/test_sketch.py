"""Invariant: a sketch says within 2 % how many are different, however it was put together."""

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
    (found,) = sketches(np.array(visitors, np.int64), [len(visitors)])
    assert found is not None
    return found


def coupons(data: bytes) -> set[int]:
    """Of a compact list or set."""
    return set(np.frombuffer(data[8 if len(data) <= 36 else 12 :], np.uint32).tolist())


@given(st.lists(st.sets(I64 | st.integers(-3, 3), max_size=60), max_size=5))
def test_written_in_bulk_they_are_what_the_library_writes(several: list[set[int]]) -> None:
    flat = [visitor for one in several for visitor in one]
    found = list(sketches(np.array(flat, np.int64), [len(one) for one in several]))
    for made, one in zip(found, several, strict=True):
        if not one:
            assert made is None
            continue
        assert made is not None
        reference = sketch(one)
        assert len(made) == len(reference)
        assert coupons(made) == coupons(reference)
        read = hll_sketch.deserialize(made)
        assert read.lg_config_k == LG_K
        assert read.get_estimate() == hll_sketch.deserialize(reference).get_estimate()


@given(
    st.sets(st.integers(1, 40), min_size=1),
    st.sets(st.integers(1, 40), min_size=1),
    st.integers(0, 400),
)
def test_what_grows_is_the_union(one: set[int], other: set[int], more: int) -> None:
    one = one | set(range(1000, 1000 + more))
    stored = of(list(one))
    for kept in (stored, sketch(one)):
        found = union_if_larger(kept, of(list(other)))
        assert (found is None) == (other <= one) or more > 200
        assert union_size([found or kept]) == len(one | other)
        assert len(found or kept) == len(sketch(one | other))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 23, 24, 25, 191, 192, 2999, 3000, 3001, 3072, 9000])
def test_at_every_size(size: int) -> None:
    visitors = [random.Random(n).getrandbits(63) for n in range(size)]
    found = list(sketches(np.array(visitors, np.int64), [0, size]))
    assert found[0] is None
    if size:
        assert found[1] is not None
        assert union_size([found[1]]) == pytest.approx(size, rel=0.01)
        more = union([found[1], sketch([5, 6])])
        assert union_size([more]) == pytest.approx(size + 2, rel=0.01)
        assert union_size([union([found[1], found[1]])]) == pytest.approx(size, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [10_000, 100_000, 1_000_000])
def test_within_two_percent(size: int, seed: int) -> None:
    """Out of a day's quarters: each visitor stands in two of them."""
    visitors = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, size)
    bounds = [0, *accumulate([size // 96] * 95), size]
    parts = [
        np.concatenate((visitors[start:end], visitors[end : 2 * end - start]))
        for start, end in pairwise(bounds)
    ]
    made = list(sketches(np.concatenate(parts), [len(part) for part in parts]))
    assert union_size([one for one in made if one]) == pytest.approx(size, rel=0.02)


def test_few_are_small() -> None:
    assert len(of([1])) == 12
    assert len(of(list(range(1000)))) == 4012
    assert len(sketch(range(1_000_00))) < 17_000
