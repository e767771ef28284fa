"""How many visitors: sketches of sets, which merge.

HyperLogLog of Apache DataSketches. Small sets are kept as lists of coupons, so a sketch of few is a few bytes.
"""

from collections.abc import Iterable
from typing import Final

from datasketches import hll_sketch, hll_union

LG_K: Final = 15


def merged(sketches: Iterable[bytes]) -> int:
    """About how many are in any of them."""
    union = hll_union(LG_K)
    for one in sketches:
        union.update(hll_sketch.deserialize(one))
    estimate: float = union.get_estimate()
    return round(estimate)
