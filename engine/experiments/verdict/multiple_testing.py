"""P-values of several comparisons at once, over variants and metrics."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of *any* false alarm among them stays at alpha, in the order given.

    Whatever depends on whatever. Source: S. Holm, Scand. J. Stat. 6 (1979) 65. Raises ValueError.
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
    """Adjusted so that of those called different at most a part alpha is not, on average, in the order given.

    For independent or positively dependent ones. Source: Y. Benjamini, Y. Hochberg, JRSS B 57 (1995) 289.
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
