"""Results of an experiment: counts and verdicts of each variant, and what makes them doubtful."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from engine.experiments.bucketing import shares
from engine.experiments.counts import (
    CountsPoint,
    ExperimentCounts,
    PhaseCounts,
    VariantCounts,
    counts_by_variant,
    sum_counts,
)
from engine.experiments.experiment import Experiment, StoredExperiment
from engine.experiments.verdict import confidence_sequence, fixed_horizon, multiple_testing, srm
from engine.experiments.verdict.confidence_sequence import SequentialEstimate
from engine.experiments.verdict.decision import ExperimentDecision
from engine.experiments.verdict.fixed_horizon import BeforeHorizon, FixedHorizonResult
from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.summary import ExperimentSummary, VariantSummary, analyse

SEQUENTIAL_NOTE: Final = "Intervals and p-values hold at every look, however often you look."
FIXED_HORIZON_NOTE: Final = (
    "The verdict is for one look at the planned size: keep the first one you get, as each further look at "
    "growing counts is another chance of a false alarm."
)
BANDIT_NOTE: Final = (
    "Weights follow the counts, so that fewer conversions are lost while it runs. Each change of weights is a "
    "phase in which every visitor is assigned anew, so there is no interval or p-value of the comparison: no "
    "false alarm rate would hold over phases, and a variant that fell behind early has few visitors to recover "
    "with. Chance to be best and expected loss are of all phases with these variants."
)


class IntervalResponse(msgspec.Struct, frozen=True):
    low: float
    high: float


class LiftResponse(msgspec.Struct, frozen=True):
    """A comparison with the control. `p_value` is of this comparison alone."""

    lift: float
    low: float
    high: float
    p_value: float


class ValueResponse(msgspec.Struct, frozen=True):
    """Conversions with a value in one currency; the sum as a decimal number in a string."""

    currency: str
    conversions: int
    sum: str


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one variant.

    `exposures` and `outcomes` are clicks and views, `visitors` are pseudonyms of a day, `converted` are
    visitors with an outcome, `multiple_exposures` are left out as they saw another variant too. `interval`
    is Wilson's, for a single look; `sequential` holds at every look. Comparisons are null for the control;
    a field that is locked or unknown so far is null.
    """

    name: str
    weight: float
    share: float
    exposures: int
    visitors: int
    multiple_exposures: int
    outcomes: int | None = None
    converted: int | None = None
    rate: float | None = None
    interval: IntervalResponse | None = None
    sequential: IntervalResponse | None = None
    absolute: LiftResponse | None = None
    relative: LiftResponse | None = None
    p_value_holm: float | None = None
    p_value_bh: float | None = None
    chance_best: float | None = None
    expected_loss: float | None = None
    decision: ExperimentDecision | None = None
    values: tuple[ValueResponse, ...] = ()


class SrmResponse(msgspec.Struct, frozen=True):
    """The SRM test, valid at every look; `unexpected_visitors` are in variants of weight 0."""

    p_value: float
    mismatch: bool
    unexpected_visitors: int


class HorizonResponse(msgspec.Struct, frozen=True):
    """A fixed horizon: visitors of the smallest variant, and the planned number."""

    visitors: int
    planned: int
    locked: bool


class PhaseVariant(msgspec.Struct, frozen=True):
    name: str
    weight: float
    exposures: int
    visitors: int
    converted: int | None


class PhaseResponse(msgspec.Struct, frozen=True):
    phase: int
    started_at: datetime
    reason: str
    variants: tuple[PhaseVariant, ...]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one phase. `warnings` say what makes them doubtful, `inference` which looks they hold
    for."""

    experiment_id: str
    state: str
    phase: int
    variants: tuple[VariantResult, ...]
    allocation: SrmResponse
    horizon: HorizonResponse | None
    phases: tuple[PhaseResponse, ...]
    warnings: tuple[str, ...]
    inference: str


def results(stored: StoredExperiment, counts: ExperimentCounts, phase: PhaseCounts) -> Results:
    """Return the results of one phase. Takes milliseconds; the first call a second, to import SciPy."""
    experiment = stored.experiment
    expected = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    proportions = [variant.proportion for variant in phase.counts]
    pooled = [variant.proportion for variant in pooled_counts(counts.phases, phase)]
    summary = _summary(experiment, proportions, expected)
    locked = _is_locked(experiment, proportions)
    variants = [
        _counts_only(phase, number, expected[number], counts)
        for number in range(len(phase.variants))
    ]
    if not locked:
        variants = [
            _with_rates(variant, variant_counts, variant_summary)
            for variant, variant_counts, variant_summary in zip(
                variants, phase.counts, summary.variants, strict=True
            )
        ]
        variants = _with_comparisons(experiment, variants, proportions, pooled, summary)
    horizon = experiment.analysis.horizon
    return Results(
        experiment_id=str(experiment.id),
        state=experiment.state,
        phase=phase.number,
        variants=tuple(variants),
        allocation=SrmResponse(*summary.allocation),
        horizon=None
        if horizon is None
        else HorizonResponse(
            min(proportion.visitors for proportion in proportions), horizon.visitors, locked
        ),
        phases=tuple(_phase_response(each, locked) for each in counts.phases),
        warnings=tuple(warnings(stored, counts, phase, summary)),
        inference=BANDIT_NOTE
        if experiment.analysis.bandit
        else SEQUENTIAL_NOTE
        if horizon is None
        else FIXED_HORIZON_NOTE,
    )


def pooled_counts(phases: Sequence[PhaseCounts], last: PhaseCounts) -> tuple[VariantCounts, ...]:
    """Return the summed counts of all phases that differ from `last` only by a bandit's weights."""
    pooled: list[PhaseCounts] = []
    for phase in phases:
        if phase.number > last.number:
            break
        if phase.reason != "bandit":
            pooled.clear()
        pooled.append(phase)
    return tuple(
        sum_counts(phase.counts[number] for phase in pooled) for number in range(len(last.variants))
    )


def _summary(
    experiment: Experiment, proportions: Sequence[Proportion], expected: Sequence[float]
) -> ExperimentSummary:
    analysis = experiment.analysis
    # A coverage of 0 includes no visitor, so every share is as good as another.
    if not any(expected):
        expected = [1.0] * len(proportions)
    return analyse(proportions, expected, analysis.rule, analysis.tuning_visitors)


def _is_locked(experiment: Experiment, proportions: Sequence[Proportion]) -> bool:
    horizon = experiment.analysis.horizon
    return (
        horizon is not None
        and min(proportion.visitors for proportion in proportions) < horizon.visitors
    )


def _counts_only(
    phase: PhaseCounts, number: int, share: float, all_counts: ExperimentCounts
) -> VariantResult:
    variant, counts = phase.variants[number], phase.counts[number]
    return VariantResult(
        name=variant.name,
        weight=variant.weight,
        share=share,
        exposures=counts.exposures,
        visitors=counts.visitors,
        multiple_exposures=counts.multiple_exposures,
        values=tuple(
            ValueResponse(value.currency, value.conversions, value.value)
            for value in all_counts.values
            if value.variant == number
        ),
    )


def _with_rates(
    variant: VariantResult, counts: VariantCounts, summary: VariantSummary
) -> VariantResult:
    return msgspec.structs.replace(
        variant,
        outcomes=counts.outcomes,
        converted=counts.converted_visitors,
        rate=summary.proportion.rate,
        interval=IntervalResponse(*summary.interval),
        sequential=IntervalResponse(*summary.sequential),
    )


def _with_comparisons(
    experiment: Experiment,
    variants: list[VariantResult],
    proportions: Sequence[Proportion],
    pooled: Sequence[Proportion],
    summary: ExperimentSummary,
) -> list[VariantResult]:
    analysis = experiment.analysis
    posteriors_of = summary
    if analysis.bandit is not None:
        posteriors_of = analyse(pooled, [1.0] * len(pooled), analysis.rule)
    with_posteriors = [
        msgspec.structs.replace(
            variant,
            chance_best=variant_summary.posterior.chance_best,
            expected_loss=variant_summary.posterior.expected_loss,
        )
        for variant, variant_summary in zip(variants, posteriors_of.variants, strict=True)
    ]
    if analysis.bandit is not None:
        return with_posteriors
    if analysis.horizon is not None:
        return _with_fixed_horizon(experiment, with_posteriors, proportions)
    p_values = [
        variant.absolute.p_value for variant in summary.variants[1:] if variant.absolute is not None
    ]
    adjusted = multiple_testing.benjamini_hochberg(p_values)
    return [
        with_posteriors[0],
        *(
            msgspec.structs.replace(
                variant,
                absolute=_lift_response(compared.absolute),
                relative=_lift_response(compared.relative),
                p_value_holm=compared.p_value,
                p_value_bh=bh,
                decision=compared.decision,
            )
            for variant, compared, bh in zip(
                with_posteriors[1:], summary.variants[1:], adjusted, strict=True
            )
        ),
    ]


def _lift_response(estimate: SequentialEstimate | None) -> LiftResponse | None:
    return None if estimate is None else LiftResponse(*estimate)


def _with_fixed_horizon(
    experiment: Experiment, variants: list[VariantResult], proportions: Sequence[Proportion]
) -> list[VariantResult]:
    horizon = experiment.analysis.horizon
    assert horizon is not None
    alpha = experiment.analysis.alpha / (len(proportions) - 1)
    verdicts = [
        fixed_horizon.fixed_horizon_test(
            proportions[0], proportion, horizon.visitors, horizon.test, alpha
        )
        for proportion in proportions[1:]
    ]
    reached = [verdict for verdict in verdicts if isinstance(verdict, FixedHorizonResult)]
    assert not any(isinstance(verdict, BeforeHorizon) for verdict in verdicts)
    p_values = [verdict.p_value for verdict in reached]
    holm, bh = multiple_testing.holm(p_values), multiple_testing.benjamini_hochberg(p_values)
    return [
        variants[0],
        *(
            msgspec.structs.replace(
                variant, absolute=LiftResponse(*verdict), p_value_holm=by_holm, p_value_bh=by_bh
            )
            for variant, verdict, by_holm, by_bh in zip(
                variants[1:], reached, holm, bh, strict=True
            )
        ),
    ]


def _phase_response(phase: PhaseCounts, locked: bool) -> PhaseResponse:
    return PhaseResponse(
        phase.number,
        phase.started_at,
        phase.reason,
        tuple(
            PhaseVariant(
                v.name, v.weight, c.exposures, c.visitors, None if locked else c.converted_visitors
            )
            for v, c in zip(phase.variants, phase.counts, strict=True)
        ),
    )


def warnings(
    stored: StoredExperiment,
    counts: ExperimentCounts,
    phase: PhaseCounts,
    summary: ExperimentSummary,
) -> list[str]:
    """Return sentences about what makes the results doubtful, the most serious first."""
    experiment = stored.experiment
    total = sum_counts(phase.counts)
    sentences = [f"{text[0].upper()}{text[1:]}." for text in summary.warnings]
    if total.multiple_exposures:
        sentences.append(
            f"{total.multiple_exposures} visitors saw more than one variant and are counted in none of them."
        )
    if phase.number != experiment.phase:
        sentences.append(f"These are the results of phase {phase.number}, which has ended.")
    elif phase.number > 1 and experiment.analysis.bandit is None:
        since = phase.started_at.strftime("%Y-%m-%d %H:%M UTC")
        sentences.append(
            f"Variants or weights were changed: counts begin at {since}, when every visitor was assigned anew."
        )
    if not total.visitors:
        sentences.append("No visitor has been exposed yet.")
    elif experiment.kind == "destination" and not total.outcomes:
        sentences.append(
            "No conversion has come in: does the link append click ids, and does its target report them?"
        )
    if counts.unattributed:
        sentences.append(
            f"{counts.unattributed} conversions are not counted: they came after the attribution window, or "
            "for clicks that exposed no visitor."
        )
    return sentences


class SeriesVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's running counts at one moment of the phase. The comparison is null for the control."""

    visitors: int
    converted: int
    rate: float
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


class SeriesPoint(msgspec.Struct, frozen=True):
    """A look in the past. `at` is its time, `allocation_p_value` is of the SRM test."""

    at: datetime
    variants: tuple[SeriesVariant, ...]
    allocation_p_value: float


def series(
    experiment: Experiment, phase: PhaseCounts, points: Sequence[CountsPoint]
) -> list[SeriesPoint]:
    """Return the confidence sequence over time: each point is what a look at that time would have shown."""
    expected = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    analysis = experiment.analysis
    alpha = analysis.alpha / (len(phase.variants) - 1)
    looks = []
    for point in points:
        control, *treatments = (counts.proportion for counts in point.counts)
        variants = [_series_variant(control, None)]
        for treatment in treatments:
            compared = confidence_sequence.absolute(
                control, treatment, alpha, analysis.tuning_visitors
            )
            variants.append(_series_variant(treatment, compared))
        allocation = srm.srm_test([counts.visitors for counts in point.counts], expected)
        looks.append(SeriesPoint(point.at, tuple(variants), allocation.p_value))
    return looks


def _series_variant(proportion: Proportion, compared: SequentialEstimate | None) -> SeriesVariant:
    counts = SeriesVariant(
        visitors=proportion.visitors, converted=proportion.conversions, rate=proportion.rate
    )
    if compared is None:
        return counts
    lift, low, high, p_value = compared
    return msgspec.structs.replace(counts, lift=lift, low=low, high=high, p_value=p_value)


def is_before_horizon(experiment: Experiment, phase: PhaseCounts) -> bool:
    """Return whether a fixed horizon still hides the comparisons."""
    return _is_locked(experiment, [counts.proportion for counts in phase.counts])


def empty_phase(stored: StoredExperiment) -> PhaseCounts:
    """Return the counts of a draft: zeros."""
    variants = stored.experiment.variants
    return PhaseCounts(
        stored.experiment.phase,
        stored.created_at,
        "start",
        variants,
        counts_by_variant({}, len(variants)),
    )
