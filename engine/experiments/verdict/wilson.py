"""Wilson's score interval of one rate."""

import math
from statistics import NormalDist
from typing import NamedTuple

from engine.experiments.verdict.proportion import Proportion, check, check_probability


class ConfidenceInterval(NamedTuple):
    low: float
    high: float


def interval(proportion: Proportion, alpha: float = 0.05) -> ConfidenceInterval:
    """Return Wilson's score interval of a rate with confidence 1 - alpha; (0, 1) while there is no visitor.

    It is right for one look planned beforehand; confidence_sequence.rate() holds at every look.
    Source: E. B. Wilson, JASA 22 (1927) 209; L. D. Brown, T. T. Cai, A. DasGupta, Stat. Sci. 16 (2001) 101,
    equation 4. Raises ValueError.
    """
    check(proportion)
    check_probability(alpha, "alpha")
    n = proportion.visitors
    if not n:
        return ConfidenceInterval(0.0, 1.0)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    scale = 1 + z * z / n
    center = (proportion.rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(proportion.variance + z * z / (4 * n * n))
    # At 0 and n conversions the end is exact, where rounding would leave 1e-19.
    low = center - half if proportion.conversions else 0.0
    high = center + half if proportion.conversions < n else 1.0
    return ConfidenceInterval(max(low, 0.0), min(high, 1.0))
