"""Sketches of sets of visitors: mergeable, with sizes within 2 % of exact.

HyperLogLog (Flajolet and others, 2007) as Apache DataSketches stores it: up to a few thousand visitors are
a list of their hashes, four bytes each, which is nearly exact; more are 2^15 registers of four bits, 16 kB,
with a standard error of 0.6 %. Measured: of 24 sketches, each merged from eight, one was 2.1 % off with
2^14 registers, and none more than 1.4 % with 2^15.

Nearly all sketches have few visitors, so this module writes those without the library, for many rows at once: a
hash ("coupon") is 26 bits of a visitor's MurmurHash3 and the number of leading zeros of the rest.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from datasketches import hll_sketch, hll_union, tgt_hll_type

LG_K: Final = 15
MAX_BYTES: Final = 1 << (LG_K + 3)  # far more than any sketch takes

_TYPE: Final = tgt_hll_type.HLL_4
# The header before the coupons of a compact list (up to 7), or of a set.
_LIST: Final = Struct("<BBBBBBBB")
_SET: Final = Struct("<BBBBBBBBi")
_MAX_LIST: Final = 7
_MAX_SET: Final = 3_000  # the library switches to registers at 3,072
_MAX_SMALL_BYTES: Final = 1_000  # the library is faster with larger sets
_SEED: Final = 9001


def sketches(visitors: npt.NDArray[np.int64], sizes: Sequence[int]) -> Iterator[bytes | None]:
    """Yield the sketch of the first `sizes[0]` visitors, of the next `sizes[1]`, and so on; None for a size
    of 0.

    Visitors of one sketch must all be different.
    """
    coupons = _coupons(visitors).tobytes()
    start = 0
    for size in sizes:
        end = start + 4 * size
        if not size:
            yield None
        elif size <= _MAX_SET:
            yield _header(size) + coupons[start:end]
        else:
            yield sketch(visitors[start // 4 : end // 4].tolist())
        start = end


def _header(size: int) -> bytes:
    """Return the header of a list or set sketch with `size` coupons."""
    if size <= _MAX_LIST:
        return _LIST.pack(2, 1, 7, LG_K, 3, 8, size, 0)
    return _SET.pack(3, 1, 7, LG_K, _lg_slots(size), 8, 0, 1, size)


def _lg_slots(size: int) -> int:
    """Return log2 of the slots of the library's hash table for a set of `size`: a quarter stays free."""
    return max(5, (size * 4 // 3).bit_length())


def _coupons(visitors: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    first, second = _murmur(visitors.astype(np.uint64))
    # Leading zeros of each half: a float of 64 bits would round 2^n - 1 up to 2^n.
    zeros = np.where(
        second >> np.uint64(32),
        _leading_zeros(second >> np.uint64(32)),
        32 + _leading_zeros(second),
    )
    slot = (first & np.uint64(0x3FFFFFF)).astype(np.uint32)
    return slot | ((np.minimum(zeros, 62) + 1).astype(np.uint32) << np.uint32(26))


def _leading_zeros(half: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the number of leading zeros of the lower 32 bits."""
    _, exponent = np.frexp((half & np.uint64(0xFFFFFFFF)).astype(np.float64))
    return 32 - exponent.astype(np.int64)


def _murmur(key: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return both halves of MurmurHash3 x64 128 of each number's eight bytes."""
    with np.errstate(over="ignore"):
        key = key * np.uint64(0x87C37B91114253D5)
        key = _rotated(key, 31) * np.uint64(0x4CF5AD432745937F)
        first = key ^ np.uint64(_SEED) ^ np.uint64(8)
        second = np.full_like(key, _SEED ^ 8)
        first = first + second
        second = second + first
        first, second = _mixed(first), _mixed(second)
        first = first + second
        return first, second + first


def _rotated(number: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    return (number << np.uint64(bits)) | (number >> np.uint64(64 - bits))


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    number = (number ^ (number >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    number = (number ^ (number >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return number ^ (number >> np.uint64(33))


def sketch(visitors: Iterable[int]) -> bytes:
    """Return the sketch of the visitors."""
    new_sketch = hll_sketch(LG_K, _TYPE)
    for visitor in visitors:
        new_sketch.update(visitor)
    return bytes(new_sketch.serialize_compact())


def union_if_larger(stored: bytes, new: bytes) -> bytes | None:
    """Return the union of two sketches, or None if `stored` has all visitors of `new`."""
    old_coupons, new_coupons = _small_coupons(stored), _small_coupons(new)
    if old_coupons is None or new_coupons is None:
        return union((stored, new))
    if new_coupons <= old_coupons:
        return None
    merged_coupons = old_coupons | new_coupons
    return _header(len(merged_coupons)) + array("I", merged_coupons).tobytes()


def _small_coupons(data: bytes) -> set[int] | None:
    """Return the coupons of a list or small set, as sketches() and the library write it; None for others."""
    if data[7] & 3 == 0 and data[0] == 2:
        return set(memoryview(data)[8:].cast("I"))
    if data[7] & 3 == 1 and data[0] == 3 and len(data) <= _MAX_SMALL_BYTES:
        return set(memoryview(data)[12:].cast("I"))
    return None


def union(parts: Iterable[bytes]) -> bytes:
    """Return the union of sketches."""
    return bytes(_union(parts).get_result(_TYPE).serialize_compact())


def union_size(parts: Iterable[bytes]) -> int:
    """Return the number of different visitors in all of the sketches.

    If all are lists and sets, different coupons are counted, ten times as fast as merging. That is exact
    but for visitors with equal coupons: 26 bits and a number of zeros, each one more half as often, so 3 *
    2^26 coupons of equal chance.
    """
    parts = list(parts)
    coupon_bytes = []
    for part in parts:
        mode = part[7] & 3
        if mode > 1:
            return round(float(_union(parts).get_estimate()))
        coupon_bytes.append(part[8 : 8 + 4 * part[6]] if mode == 0 else part[_SET.size :])
    # Sorting is faster than numpy's `unique`, which hashes.
    coupons = np.sort(np.frombuffer(b"".join(coupon_bytes), dtype=np.uint32))
    different = float(np.count_nonzero(coupons[1:] != coupons[:-1]) + min(1, coupons.size))
    return round(different + different**2 / (6 * 2**26))


def cumulative_sizes(parts: Iterable[bytes | None]) -> list[int]:
    """Return the estimated size of the union of the first 1, 2, ... sketches."""
    new_sketch, counts = hll_union(LG_K), []
    count = 0
    for part in parts:
        if part is not None:
            new_sketch.update(hll_sketch.deserialize(part))
            count = round(float(new_sketch.get_estimate()))
        counts.append(count)
    return counts


def _union(parts: Iterable[bytes]) -> Any:
    new_sketch = hll_union(LG_K)
    for part in parts:
        new_sketch.update(hll_sketch.deserialize(part))
    return new_sketch
