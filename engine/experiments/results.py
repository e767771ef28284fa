"""What an experiment says so far: counts and verdicts of each variant, and what makes them doubtful."""

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
from engine.experiments.verdict.decision import ExperimentDecision
from engine.experiments.verdict.fixed_horizon import BeforeHorizon, FixedHorizonResult
from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.summary import ExperimentSummary, VariantSummary, analyse

SEQUENTIAL_NOTE: Final = "Intervals and p-values hold at every look, however often you look."
FIXED_HORIZON_NOTE: Final = (
    "The verdict is for one look at the planned size: keep the first one you get, as each further look at "
    "growing counts is another chance of a false alarm."
)
BANDIT: Final = (
    "Weights follow the counts, to lose less while it runs. Each change of weights is a phase in which "
    "everybody is assigned anew, so no interval or p-value is told of the comparison: no rate of false "
    "alarms would hold over phases, and a variant that fell behind early has few visitors to recover with. "
    "Chance to be best and expected loss are of all phases with these variants."
)


class IntervalResponse(msgspec.Struct, frozen=True):
    low: float
    high: float


class LiftResponse(msgspec.Struct, frozen=True):
    """Against the control. `p_value` is of this comparison alone."""

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
    """One variant. `exposures` and `outcomes` are clicks and views, `visitors` people of a day, `converted`
    those of them with an outcome, `crossed` those left out as they were in another variant, too. `interval` is
    Wilson's, for a single look; `watched` holds at every look. What compares with the control is null for the
    control itself, and what is locked or cannot be told yet is null."""

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
    """The test for sample-ratio mismatch, valid at every look; `stray` are visitors in variants of weight 0."""

    p_value: float
    mismatch: bool
    unexpected_visitors: int


class HorizonResponse(msgspec.Struct, frozen=True):
    """Of a fixed horizon: visitors of the smallest variant, of those planned."""

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
    """Of one phase; `warnings` are sentences about what makes the figures doubtful, `inference` says what they
    are good for."""

    experiment_id: str
    state: str
    phase: int
    variants: tuple[VariantResult, ...]
    allocation: SrmResponse
    horizon: HorizonResponse | None
    phases: tuple[PhaseResponse, ...]
    warnings: tuple[str, ...]
    inference: str


def results(stored: StoredExperiment, tally: ExperimentCounts, phase: PhaseCounts) -> Results:
    """One look at a phase of the tally. Takes milliseconds; the first call a second, to import SciPy."""
    experiment = stored.experiment
    wanted = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    arms = [counts.proportion for counts in phase.counts]
    pooled = [c.proportion for c in pooled_counts(tally.phases, phase)]
    summary = _summary(experiment, arms, wanted)
    locked = _locked(experiment, arms)
    variants = [
        _plain(phase, number, wanted[number], tally) for number in range(len(phase.variants))
    ]
    if not locked:
        variants = [
            _judged(variant, counts, standing)
            for variant, counts, standing in zip(
                variants, phase.counts, summary.standings, strict=True
            )
        ]
        variants = _compared(experiment, variants, arms, pooled, summary)
    horizon = experiment.analysis.horizon
    return Results(
        experiment_id=str(experiment.id),
        state=experiment.state,
        phase=phase.number,
        variants=tuple(variants),
        allocation=SrmResponse(*summary.allocation),
        horizon=None
        if horizon is None
        else HorizonResponse(min(a.visitors for a in arms), horizon.visitors, locked),
        phases=tuple(_shown_phase(p, locked) for p in tally.phases),
        warnings=tuple(warnings(stored, tally, phase, summary)),
        inference=BANDIT
        if experiment.analysis.bandit
        else SEQUENTIAL_NOTE
        if horizon is None
        else FIXED_HORIZON_NOTE,
    )


def pooled_counts(phases: Sequence[PhaseCounts], last: PhaseCounts) -> tuple[VariantCounts, ...]:
    """Counts of all phases that differ from the last one by a bandit's weights only."""
    alike: list[PhaseCounts] = []
    for phase in phases:
        if phase.number > last.number:
            break
        if phase.reason != "bandit":
            alike.clear()
        alike.append(phase)
    arms = range(len(last.variants))
    return tuple(sum_counts(phase.counts[arm] for phase in alike) for arm in arms)


def _summary(
    experiment: Experiment, arms: Sequence[Proportion], wanted: Sequence[float]
) -> ExperimentSummary:
    analysis = experiment.analysis
    # With a coverage of 0 nobody is in, and every share is as good as another.
    given = wanted if any(wanted) else [1.0] * len(arms)
    return analyse(arms, given, analysis.rule, analysis.tuning_visitors)


def _locked(experiment: Experiment, arms: Sequence[Proportion]) -> bool:
    horizon = experiment.analysis.horizon
    return horizon is not None and min(arm.visitors for arm in arms) < horizon.visitors


def _plain(phase: PhaseCounts, number: int, share: float, tally: ExperimentCounts) -> VariantResult:
    variant, counts = phase.variants[number], phase.counts[number]
    return VariantResult(
        name=variant.name,
        weight=variant.weight,
        share=share,
        exposures=counts.exposures,
        visitors=counts.visitors,
        multiple_exposures=counts.multiple_exposures,
        values=tuple(ValueResponse(v.currency, v.conversions, v.value) for v in tally.values if v.arm == number),
    )  # fmt: skip


def _judged(
    variant: VariantResult, counts: VariantCounts, standing: VariantSummary
) -> VariantResult:
    return msgspec.structs.replace(
        variant,
        outcomes=counts.outcomes,
        converted=counts.converted_visitors,
        rate=standing.arm.rate,
        interval=IntervalResponse(*standing.interval),
        sequential=IntervalResponse(*standing.sequential),
    )


def _compared(
    experiment: Experiment,
    variants: list[VariantResult],
    arms: Sequence[Proportion],
    pooled: Sequence[Proportion],
    summary: ExperimentSummary,
) -> list[VariantResult]:
    analysis = experiment.analysis
    believed = summary
    if analysis.bandit is not None:
        believed = analyse(pooled, [1.0] * len(pooled), analysis.rule)
    found = [
        msgspec.structs.replace(
            variant,
            chance_best=standing.posterior.chance_best,
            expected_loss=standing.posterior.expected_loss,
        )
        for variant, standing in zip(variants, believed.standings, strict=True)
    ]
    if analysis.bandit is not None:
        return found
    if analysis.horizon is not None:
        return _fixed(experiment, found, arms)
    p_values = [s.absolute.p_value for s in summary.standings[1:] if s.absolute is not None]
    adjusted = multiple_testing.benjamini_hochberg(p_values)
    return [
        found[0],
        *(
            msgspec.structs.replace(
                variant,
                absolute=None if standing.absolute is None else LiftResponse(*standing.absolute),
                relative=None if standing.relative is None else LiftResponse(*standing.relative),
                p_value_holm=standing.p_value,
                p_value_bh=bh,
                decision=standing.decision,
            )
            for variant, standing, bh in zip(
                found[1:], summary.standings[1:], adjusted, strict=True
            )
        ),
    ]


def _fixed(
    experiment: Experiment, variants: list[VariantResult], arms: Sequence[Proportion]
) -> list[VariantResult]:
    horizon = experiment.analysis.horizon
    assert horizon is not None
    alpha = experiment.analysis.alpha / (len(arms) - 1)
    verdicts = [
        fixed_horizon.fixed_horizon_test(arms[0], arm, horizon.visitors, horizon.test, alpha)
        for arm in arms[1:]
    ]
    told = [verdict for verdict in verdicts if isinstance(verdict, FixedHorizonResult)]
    assert not any(isinstance(verdict, BeforeHorizon) for verdict in verdicts)
    p_values = [verdict.p_value for verdict in told]
    holm, bh = multiple_testing.holm(p_values), multiple_testing.benjamini_hochberg(p_values)
    return [
        variants[0],
        *(
            msgspec.structs.replace(
                variant, absolute=LiftResponse(*verdict), p_value_holm=by_holm, p_value_bh=by_bh
            )
            for variant, verdict, by_holm, by_bh in zip(variants[1:], told, holm, bh, strict=True)
        ),
    ]


def _shown_phase(phase: PhaseCounts, locked: bool) -> PhaseResponse:
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
    tally: ExperimentCounts,
    phase: PhaseCounts,
    summary: ExperimentSummary,
) -> list[str]:
    """Sentences about what makes the figures doubtful, the most serious first."""
    experiment = stored.experiment
    total = sum_counts(phase.counts)
    found = [f"{text[0].upper()}{text[1:]}." for text in summary.warnings]
    if total.multiple_exposures:
        found.append(
            f"{total.multiple_exposures} visitors were seen in more than one variant and are counted in none of them."
        )
    if phase.number != experiment.phase:
        found.append(f"These are the figures of phase {phase.number}, which is over.")
    elif phase.number > 1 and experiment.analysis.bandit is None:
        since = phase.started_at.strftime("%Y-%m-%d %H:%M UTC")
        found.append(
            f"Variants or weights were changed: figures are since {since}, when everybody was assigned anew."
        )
    if not total.visitors:
        found.append("Nobody has been exposed yet.")
    elif experiment.kind == "destination" and not total.outcomes:
        found.append(
            "No conversion has come in: does the link append click ids, and does its target report them?"
        )
    if tally.unattributed:
        found.append(
            f"{tally.unattributed} conversions are not counted: they came after the attribution window, or "
            "for clicks that did not expose anybody."
        )
    return found


class SeriesVariant(msgspec.Struct, frozen=True, kw_only=True):
    """One variant by the end of one stretch of time, everything since the phase began. What compares it with
    the control is null for the control."""

    visitors: int
    converted: int
    rate: float
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


class SeriesPoint(msgspec.Struct, frozen=True):
    """`at` is the end of the stretch; `allocation_p_value` that of the test for sample-ratio mismatch."""

    at: datetime
    variants: tuple[SeriesVariant, ...]
    allocation_p_value: float


def series(
    experiment: Experiment, phase: PhaseCounts, points: Sequence[CountsPoint]
) -> list[SeriesPoint]:
    """The confidence sequence over time: each point is what a look at that time would have said."""
    wanted = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    analysis = experiment.analysis
    alpha = analysis.alpha / (len(phase.variants) - 1)
    found = []
    for point in points:
        arms = [counts.proportion for counts in point.counts]
        shown = [_at(arms[0], None)]
        for arm in arms[1:]:
            compared = confidence_sequence.absolute(arms[0], arm, alpha, analysis.tuning_visitors)
            shown.append(_at(arm, compared))
        allocated = srm.srm_test([arm.visitors for arm in arms], wanted)
        found.append(SeriesPoint(point.at, tuple(shown), allocated.p_value))
    return found


def _at(arm: Proportion, compared: confidence_sequence.SequentialEstimate | None) -> SeriesVariant:
    counts = SeriesVariant(visitors=arm.visitors, converted=arm.conversions, rate=arm.rate)
    if compared is None:
        return counts
    lift, low, high, p_value = compared
    return msgspec.structs.replace(counts, lift=lift, low=low, high=high, p_value=p_value)


def is_before_horizon(experiment: Experiment, phase: PhaseCounts) -> bool:
    """Whether a fixed horizon hides what comparisons there are."""
    return _locked(experiment, [counts.proportion for counts in phase.counts])


def empty_phase(stored: StoredExperiment) -> PhaseCounts:
    """What a draft has counted: nothing."""
    variants = stored.experiment.variants
    return PhaseCounts(
        stored.experiment.phase,
        stored.created_at,
        "start",
        variants,
        counts_by_variant({}, len(variants)),
    )
