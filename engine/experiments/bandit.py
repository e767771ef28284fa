"""Weights that follow the counts: Thompson sampling, in batches.

Thompson sampling gives each visitor an arm with the chance that it is the best one. With assignment by hash the
chances hold for all visitors until the next look, and are computed instead of drawn (engine/experiments/verdict/bayes.py).
Source: S. L. Scott, "A modern Bayesian look at the multi-armed bandit", Appl. Stoch. Models Bus. Ind. 26
(2010) 639, section 3; a floor keeps every arm in play, so that a bad start can be made up for.
"""

from collections.abc import Sequence
from typing import Final

from engine.experiments.verdict.bayes import posteriors
from engine.experiments.verdict.proportion import Proportion

PARTS: Final = 1000  # weights are whole parts of it, so that they sum to 1 as written
SMALLEST_CHANGE: Final = 0.02  # less would assign everybody anew for next to nothing


def thompson_weights(arms: Sequence[Proportion], floor: float) -> list[float]:
    """A weight for each arm, `floor` at least (to a thousandth), 1 together. Raises ValueError."""
    count = len(arms)
    if not 0 <= floor <= 1 / count:
        raise ValueError(f"a floor of {floor} for {count} arms")
    chances = [belief.chance_best for belief in posteriors(arms)]
    wanted = [floor + (1 - count * floor) * chance for chance in chances]
    parts = [round(weight * PARTS) for weight in wanted]
    parts[max(range(count), key=wanted.__getitem__)] += PARTS - sum(parts)
    return [part / PARTS for part in parts]


def weights_moved_enough(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether a change is worth that everybody is assigned anew."""
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) >= SMALLEST_CHANGE
