"""Decisions, and the analysis of all variants at one look."""

import subprocess
import sys

import pytest

from engine.experiments.verdict.confidence_sequence import SequentialEstimate, absolute
from engine.experiments.verdict.decision import DecisionRule, ExperimentDecision, decide
from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.summary import analyse


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.03, ExperimentDecision.SUPERIOR),
        (-0.03, -0.001, ExperimentDecision.HARMFUL),
        (-0.009, 0.009, ExperimentDecision.EQUIVALENT),
        (-0.011, 0.009, ExperimentDecision.UNDECIDED),
        (-0.009, 0.01, ExperimentDecision.UNDECIDED),
        (0.001, 0.009, ExperimentDecision.SUPERIOR),
    ],
)
def test_a_decision_is_read_off_the_interval(
    low: float, high: float, expected: ExperimentDecision
) -> None:
    estimate = SequentialEstimate((low + high) / 2, low, high, 0.5)
    rule = DecisionRule(margin=0.01, min_visitors=100)
    assert decide(rule, estimate, 100) == expected
    assert decide(rule, estimate, 99) == ExperimentDecision.UNDECIDED
    assert decide(rule, estimate, 100, mismatch=True) == ExperimentDecision.UNDECIDED


def test_without_a_margin_nothing_is_equivalent() -> None:
    assert (
        decide(DecisionRule(), SequentialEstimate(0, -1e-9, 1e-9, 1), 10**9)
        == ExperimentDecision.UNDECIDED
    )
    for bad in (DecisionRule(margin=-1), DecisionRule(alpha=0)):
        with pytest.raises(ValueError, match="must be"):
            decide(bad, SequentialEstimate(0, -1, 1, 1), 0)


def test_a_summary_of_a_clear_winner() -> None:
    proportions = [Proportion(10_000, 1000), Proportion(10_000, 1010), Proportion(10_000, 1300)]
    control, same, better = analyse(proportions, [1 / 3] * 3).variants
    assert (control.absolute, control.p_value, control.decision) == (None, None, None)
    assert same.decision == ExperimentDecision.UNDECIDED
    assert better.decision == ExperimentDecision.SUPERIOR
    assert better.relative is not None
    assert better.relative.lift == pytest.approx(0.3)
    assert better.posterior.chance_best > 0.999
    assert better.p_value is not None
    assert better.absolute is not None
    assert better.p_value == pytest.approx(2 * better.absolute.p_value)
    assert better.sequential.low < better.interval.low < 0.13 < better.interval.high


def test_all_treatments_share_alpha() -> None:
    proportions = [Proportion(10_000, 1000)] * 3
    assert analyse(proportions, [1 / 3] * 3).variants[1].absolute == absolute(
        proportions[0], proportions[1], 0.025
    )
    assert analyse(proportions[:2], [0.5] * 2).variants[1].absolute == absolute(
        proportions[0], proportions[1], 0.05
    )


def test_a_mismatch_blocks_decisions() -> None:
    analysis = analyse([Proportion(20_000, 1000), Proportion(10_000, 1300)], [0.5, 0.5])
    assert analysis.allocation.mismatch
    assert analysis.variants[1].decision == ExperimentDecision.UNDECIDED
    assert "visitors are not shared out" in analysis.warnings[0]


def test_nothing_is_decided_before_both_variants_together_have_min_visitors() -> None:
    proportions = [Proportion(10_000, 1000), Proportion(10_000, 1300)]
    for min_visitors, decision in (
        (20_000, ExperimentDecision.SUPERIOR),
        (20_001, ExperimentDecision.UNDECIDED),
    ):
        summary = analyse(proportions, [0.5, 0.5], DecisionRule(min_visitors=min_visitors))
        assert summary.variants[1].decision == decision
    # Visitors of another treatment are no visitors of this comparison.
    three = analyse([*proportions, proportions[0]], [1 / 3] * 3, DecisionRule(min_visitors=20_001))
    assert three.variants[1].decision == ExperimentDecision.UNDECIDED


def test_doubtful_counts_have_warnings() -> None:
    proportions = [Proportion(1000, 10), Proportion(1000, 12), Proportion(2, 0)]
    unexpected, few = analyse(proportions, [0.5, 0.5, 0]).warnings
    assert unexpected.startswith("2 visitors are in variants of weight 0")
    assert "from 50 conversions" in few
    assert analyse([Proportion(1000, 60)] * 2, [0.5, 0.5]).warnings == []


def test_a_single_variant_is_no_experiment() -> None:
    with pytest.raises(ValueError, match="control and a treatment"):
        analyse([Proportion(1, 0)], [1])


def test_scipy_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, engine.experiments.verdict.summary; assert not {'scipy', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
