"""Adjustment of p-values of several comparisons, over variants and metrics."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm, in input order: the chance of any false alarm stays at alpha.

    It holds under any dependence. Source: S. Holm, Scand. J. Stat. 6 (1979) 65. Raises ValueError.
    """
    _check(p_values)
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Benjamini and Hochberg, in input order.

    Rejecting at alpha keeps the expected false discovery rate at or below alpha, for independent or positively
    dependent p-values. Source: Y. Benjamini, Y. Hochberg, JRSS B 57 (1995) 289.
    Raises ValueError.
    """
    _check(p_values)
    count = len(p_values)
    adjusted = [0.0] * count
    lowest = 1.0
    order = sorted(range(count), key=p_values.__getitem__)
    for rank in range(count, 0, -1):
        index = order[rank - 1]
        lowest = min(lowest, p_values[index] * count / rank)
        adjusted[index] = lowest
    return adjusted


def _check(p_values: Sequence[float]) -> None:
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("p-values must be from 0 to 1")
