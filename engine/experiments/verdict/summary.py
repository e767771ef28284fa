"""The summary of one look at an experiment."""

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
    """The summary of a variant. `interval` is Wilson's, for this look alone; `sequential` holds at all
    looks at once. The comparisons are None for the control; `p_value` is Holm's over the variants."""

    proportion: Proportion
    interval: ConfidenceInterval
    sequential: ConfidenceInterval
    absolute: SequentialEstimate | None
    relative: SequentialEstimate | None
    p_value: float | None
    posterior: Posterior
    decision: ExperimentDecision | None


class ExperimentSummary(NamedTuple):
    """All variants, the control first. `warnings` say what makes the results doubtful, without a full stop."""

    variants: list[VariantSummary]
    allocation: SrmTest
    warnings: list[str]


def analyse(
    proportions: SequenceOf[Proportion],
    shares: SequenceOf[float],
    rule: DecisionRule = DecisionRule(),  # noqa: B008  # a constant
    tuning_visitors: float = confidence_sequence.DEFAULT_TUNING_VISITORS,
) -> ExperimentSummary:
    """Return the summary of one look at 2 to 10 proportions, the control first, with their expected shares.

    Each of several treatments is compared at alpha over their number (Bonferroni), so that all intervals and
    decisions hold together. Raises ValueError.
    """
    check(*proportions)
    if len(proportions) < 2:
        raise ValueError("there must be a control and a treatment")
    allocation = srm.srm_test([proportion.visitors for proportion in proportions], shares)
    posteriors = bayes.posteriors(proportions)
    control, treatments = proportions[0], proportions[1:]
    alpha = rule.alpha / len(treatments)
    absolutes = [
        confidence_sequence.absolute(control, proportion, alpha, tuning_visitors)
        for proportion in treatments
    ]
    p_values = multiple_testing.holm([sentences.p_value for sentences in absolutes])
    summaries = [_variant_summary(control, rule.alpha, posteriors[0])]
    for proportion, absolute, p_value, posterior in zip(
        treatments, absolutes, p_values, posteriors[1:], strict=True
    ):
        visitors = control.visitors + proportion.visitors
        verdict = decision.decide(rule, absolute, visitors, allocation.mismatch)
        summaries.append(
            _variant_summary(proportion, rule.alpha, posterior)._replace(
                absolute=absolute,
                relative=confidence_sequence.relative(control, proportion, alpha, tuning_visitors),
                p_value=p_value,
                decision=verdict,
            )
        )
    return ExperimentSummary(summaries, allocation, _warnings(proportions, allocation))


def _variant_summary(proportion: Proportion, alpha: float, posterior: Posterior) -> VariantSummary:
    sequential = confidence_sequence.rate(proportion, alpha)
    return VariantSummary(
        proportion,
        wilson.interval(proportion, alpha),
        sequential,
        None,
        None,
        None,
        posterior,
        decision=None,
    )


def _warnings(proportions: SequenceOf[Proportion], allocation: SrmTest) -> list[str]:
    sentences = []
    if allocation.mismatch:
        sentences.append(
            "visitors are not shared out as the weights say"
            f" (p = {allocation.p_value:.1g}): find out what drops visitors before you compare the variants"
        )
    if allocation.unexpected_visitors:
        sentences.append(f"{allocation.unexpected_visitors} visitors are in variants of weight 0")
    if (
        min(proportion.conversions for proportion in proportions)
        < confidence_sequence.FLOOR_CONVERSIONS
    ):
        sentences.append(
            f"relative lifts are given from {confidence_sequence.FLOOR_CONVERSIONS} conversions in each variant"
        )
    return sentences
