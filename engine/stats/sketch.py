"""Sketches of sets of visitors: how many are different, mergeable, within 2 % of exact.

HyperLogLog (Flajolet and others, 2007) as Apache DataSketches stores it: a few thousand visitors as a list of
their hashes, four bytes each, which is nearly exact; then 2^15 registers of four bits, 16 kB, with a standard
error of 0.6 %. Of 24 tries with each, merged from eight, one was 2.1 % off with 2^14 registers, none more than
1.4 % with 2^15.

Nearly all sketches are of few visitors, so those are written here without the library, for many rows at once:
a hash ("coupon") is 26 bits of a visitor's MurmurHash3 and the number of leading zeros of the rest.
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
# What stands before the coupons of a compact list (up to 7), or set.
_LIST: Final = Struct("<BBBBBBBB")
_SET: Final = Struct("<BBBBBBBBi")
_MAX_LIST: Final = 7
_MAX_SET: Final = 3_000  # the library's own has registers from 3,072 on
_FEW_BYTES: Final = 1_000  # from here on the library is faster
_SEED: Final = 9001


def sketches(visitors: npt.NDArray[np.int64], sizes: Sequence[int]) -> Iterator[bytes | None]:
    """Of the first `sizes[0]` visitors, all different, of the next `sizes[1]`, and so on; None where there
    are none."""
    coupons = _coupons(visitors).tobytes()
    start = 0
    for size in sizes:
        end = start + 4 * size
        if not size:
            yield None
        elif size <= _MAX_SET:
            yield _head(size) + coupons[start:end]
        else:
            yield sketch(visitors[start // 4 : end // 4].tolist())
        start = end


def _head(size: int) -> bytes:
    """What stands before so many coupons."""
    if size <= _MAX_LIST:
        return _LIST.pack(2, 1, 7, LG_K, 3, 8, size, 0)
    return _SET.pack(3, 1, 7, LG_K, _lg_slots(size), 8, 0, 1, size)


def _lg_slots(size: int) -> int:
    """Of the hash table that a set of this size is read into: a quarter of it stays free."""
    return max(5, (size * 4 // 3).bit_length())


def _coupons(visitors: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    first, second = _murmur(visitors.astype(np.uint64))
    # Leading zeros: `float` rounds 2^n - 1 up to 2^n, so only its upper half's are taken from there.
    zeros = np.where(second >> np.uint64(32), _zeros(second >> np.uint64(32)), 32 + _zeros(second))
    slot = (first & np.uint64(0x3FFFFFF)).astype(np.uint32)
    return slot | ((np.minimum(zeros, 62) + 1).astype(np.uint32) << np.uint32(26))


def _zeros(half: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Of the lower 32 bits."""
    _, exponent = np.frexp((half & np.uint64(0xFFFFFFFF)).astype(np.float64))
    return 32 - exponent.astype(np.int64)


def _murmur(key: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """MurmurHash3 x64 128 of each number's eight bytes."""
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
    made = hll_sketch(LG_K, _TYPE)
    for visitor in visitors:
        made.update(visitor)
    return bytes(made.serialize_compact())


def union_if_larger(stored: bytes, new: bytes) -> bytes | None:
    """The union of two; None when the first has all of the second, and stays as it is."""
    old_coupons, new_coupons = _few(stored), _few(new)
    if old_coupons is None or new_coupons is None:
        return union((stored, new))
    if new_coupons <= old_coupons:
        return None
    together = old_coupons | new_coupons
    return _head(len(together)) + array("I", together).tobytes()


def _few(data: bytes) -> set[int] | None:
    """The coupons of a list or small set, as `sketches` and the library write them."""
    if data[7] & 3 == 0 and data[0] == 2:
        return set(memoryview(data)[8:].cast("I"))
    if data[7] & 3 == 1 and data[0] == 3 and len(data) <= _FEW_BYTES:
        return set(memoryview(data)[12:].cast("I"))
    return None


def union(several: Iterable[bytes]) -> bytes:
    return bytes(_union(several).get_result(_TYPE).serialize_compact())


def union_size(several: Iterable[bytes]) -> int:
    """How many different visitors there are in all of them together.

    Where all are lists and sets, different coupons are counted, which is exact but for two visitors of one
    coupon (26 bits, and a zero more half as often: 3 * 2^26 of equal chance), and ten times as fast as merging.
    """
    several = list(several)
    parts = []
    for one in several:
        mode = one[7] & 3
        if mode > 1:
            return round(float(_union(several).get_estimate()))
        parts.append(one[8 : 8 + 4 * one[6]] if mode == 0 else one[_SET.size :])
    # Sorting is faster than numpy's `unique`, which hashes.
    coupons = np.sort(np.frombuffer(b"".join(parts), dtype=np.uint32))
    different = float(np.count_nonzero(coupons[1:] != coupons[:-1]) + min(1, coupons.size))
    return round(different + different**2 / (6 * 2**26))


def cumulative_sizes(several: Iterable[bytes | None]) -> list[int]:
    """How many there are in the first, in the first two, and so on."""
    made, counts = hll_union(LG_K), []
    count = 0
    for one in several:
        if one is not None:
            made.update(hll_sketch.deserialize(one))
            count = round(float(made.get_estimate()))
        counts.append(count)
    return counts


def _union(several: Iterable[bytes]) -> Any:
    made = hll_union(LG_K)
    for one in several:
        made.update(hll_sketch.deserialize(one))
    return made
