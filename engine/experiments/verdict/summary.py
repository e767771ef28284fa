"""Everything that one look at an experiment says."""

from collections.abc import Sequence as SequenceOf
from typing import NamedTuple

from engine.experiments.verdict import (
    bayes,
    confidence_sequence,
    decision,
    multiple_testing,
    srm,
    wilson,
)
from engine.experiments.verdict.bayes import Posterior
from engine.experiments.verdict.confidence_sequence import SequentialEstimate
from engine.experiments.verdict.decision import DecisionRule, ExperimentDecision
from engine.experiments.verdict.proportion import Proportion, check
from engine.experiments.verdict.srm import SrmTest
from engine.experiments.verdict.wilson import ConfidenceInterval


class VariantSummary(NamedTuple):
    """One arm. `interval` is Wilson's, for this look alone; `watched` holds at all looks at once. What
    compares it with the control is None for the control itself; `p_value` is Holm's over the arms."""

    arm: Proportion
    interval: ConfidenceInterval
    sequential: ConfidenceInterval
    absolute: SequentialEstimate | None
    relative: SequentialEstimate | None
    p_value: float | None
    posterior: Posterior
    decision: ExperimentDecision | None


class ExperimentSummary(NamedTuple):
    """`warnings` are sentences without full stop about what makes the figures doubtful."""

    standings: list[VariantSummary]
    allocation: SrmTest
    warnings: list[str]


def analyse(
    arms: SequenceOf[Proportion],
    shares: SequenceOf[float],
    rule: DecisionRule = DecisionRule(),  # noqa: B008  # a constant
    tuning_visitors: float = confidence_sequence.DEFAULT_TUNING_VISITORS,
) -> ExperimentSummary:
    """One look at 2 to 10 arms, the control first, with the shares of visitors that they were to get.

    With several treatments each is compared at alpha over their number (Bonferroni), so that all
    intervals and decisions hold together. Raises ValueError.
    """
    check(*arms)
    if len(arms) < 2:
        raise ValueError("there must be a control and a treatment")
    allocated = srm.srm_test([arm.visitors for arm in arms], shares)
    beliefs = bayes.posteriors(arms)
    control, treatments = arms[0], arms[1:]
    alpha = rule.alpha / len(treatments)
    absolutes = [
        confidence_sequence.absolute(control, arm, alpha, tuning_visitors) for arm in treatments
    ]
    p_values = multiple_testing.holm([found.p_value for found in absolutes])
    standings = [_standing(control, rule.alpha, beliefs[0])]
    for arm, absolute, p_value, belief in zip(
        treatments, absolutes, p_values, beliefs[1:], strict=True
    ):
        visitors = control.visitors + arm.visitors
        decided = decision.decide(rule, absolute, visitors, allocated.mismatch)
        standings.append(
            _standing(arm, rule.alpha, belief)._replace(
                absolute=absolute,
                relative=confidence_sequence.relative(control, arm, alpha, tuning_visitors),
                p_value=p_value,
                decision=decided,
            )
        )
    return ExperimentSummary(standings, allocated, _warnings(arms, allocated))


def _standing(arm: Proportion, alpha: float, belief: Posterior) -> VariantSummary:
    watched = confidence_sequence.rate(arm, alpha)
    return VariantSummary(
        arm, wilson.interval(arm, alpha), watched, None, None, None, belief, decision=None
    )


def _warnings(arms: SequenceOf[Proportion], allocated: SrmTest) -> list[str]:
    found = []
    if allocated.mismatch:
        found.append(
            "the variants have not got their shares of visitors"
            f" (p = {allocated.p_value:.1g}): find out what drops visitors before comparing them"
        )
    if allocated.unexpected_visitors:
        found.append(f"{allocated.unexpected_visitors} visitors are in variants of weight 0")
    if min(arm.conversions for arm in arms) < confidence_sequence.FLOOR_CONVERSIONS:
        found.append(
            f"relative lifts are told from {confidence_sequence.FLOOR_CONVERSIONS} conversions in each variant on"
        )
    return found
