"""Weights that follow the counts: Thompson sampling, in batches.

Thompson sampling gives each visitor a variant with the chance that it is the best. With assignment by hash
the chances hold for all visitors until the next look, and are computed instead of drawn
(engine/experiments/verdict/bayes.py). Source: S. L. Scott, "A modern Bayesian look at the multi-armed
bandit", Appl. Stoch. Models Bus. Ind. 26 (2010) 639, section 3; a floor keeps every variant in play, so
that it can recover from a bad start.
"""

from collections.abc import Sequence
from typing import Final

from engine.experiments.verdict.bayes import posteriors
from engine.experiments.verdict.proportion import Proportion

PARTS: Final = 1000  # weights are whole thousandths, so that they sum to 1 as written
SMALLEST_CHANGE: Final = 0.02  # a smaller change is not worth assigning every visitor anew


def thompson_weights(proportions: Sequence[Proportion], floor: float) -> list[float]:
    """Return the weights, one for each variant, at least `floor` (to a thousandth), with sum 1. Raises
    ValueError."""
    count = len(proportions)
    if not 0 <= floor <= 1 / count:
        raise ValueError(f"the floor must be from 0 to 1/{count}, not {floor}")
    chances = [posterior.chance_best for posterior in posteriors(proportions)]
    weights = [floor + (1 - count * floor) * chance for chance in chances]
    parts = [round(weight * PARTS) for weight in weights]
    parts[max(range(count), key=weights.__getitem__)] += PARTS - sum(parts)
    return [part / PARTS for part in parts]


def weights_moved_enough(before: Sequence[float], after: Sequence[float]) -> bool:
    """Return whether any weight moved by at least SMALLEST_CHANGE.

    A smaller change is not worth a new phase, which assigns every visitor anew.
    """
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) >= SMALLEST_CHANGE
