"""The decision rule of an experiment, set before the first look."""

from enum import Enum
from typing import NamedTuple

from engine.experiments.verdict.confidence_sequence import SequentialEstimate
from engine.experiments.verdict.proportion import check_probability


class ExperimentDecision(Enum):
    """The decision that the interval of a treatment's absolute lift allows."""

    SUPERIOR = "superior"
    EQUIVALENT = "equivalent"
    HARMFUL = "harmful"
    UNDECIDED = "undecided"


class DecisionRule(NamedTuple):
    """The rule. `margin` is the absolute difference of rates below which two variants are as good as equal;
    with 0 none is ever equivalent. Nothing is decided before both together have `min_visitors`."""

    alpha: float = 0.05
    margin: float = 0.0
    min_visitors: int = 0


def decide(
    rule: DecisionRule, sequence: SequentialEstimate, visitors: int, mismatch: bool = False
) -> ExperimentDecision:
    """Return the decision at this look of a confidence sequence made with the rule's alpha.

    Superior when the whole interval is above 0, harmful when it is below, equivalent when it lies within
    the margin to both sides and 0 is in it. As the sequence holds at all looks at once, so does the
    decision: the chance of ever deciding wrongly is at most alpha. With a sample-ratio `mismatch` nothing
    is decided. Raises ValueError.
    """
    check_probability(rule.alpha, "alpha")
    if not rule.margin >= 0:
        raise ValueError("margin must be 0 or more")
    if mismatch or visitors < rule.min_visitors:
        return ExperimentDecision.UNDECIDED
    if sequence.low > 0:
        return ExperimentDecision.SUPERIOR
    if sequence.high < 0:
        return ExperimentDecision.HARMFUL
    if max(-sequence.low, sequence.high) < rule.margin:
        return ExperimentDecision.EQUIVALENT
    return ExperimentDecision.UNDECIDED
