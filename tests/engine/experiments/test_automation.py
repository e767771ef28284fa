"""Automation of experiments: each action only by its setting, and only when the counts require it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.experiments import bandit
from engine.experiments.analysis import Analysis, BanditPolicy
from engine.experiments.automation import AutomaticAction, RunningExperiment, next_action
from engine.experiments.counts import PhaseCounts, VariantCounts
from engine.experiments.experiment import Experiment, StoredExperiment, Variant
from engine.experiments.verdict.proportion import Proportion

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
START = NOW - timedelta(hours=2)


def running_experiment(*proportions: tuple[int, int], **changes: Any) -> RunningExperiment:
    names = "abcdefghij"[: len(proportions)]
    variants = tuple(
        Variant(name=n, weight=1 / len(proportions), target=f"https://{n}.example/") for n in names
    )
    mismatch_at = changes.pop("mismatch_at", None)
    fields: dict[str, Any] = {
        "name": "x", "kind": "destination", "variants": variants, "link_id": 1, "id": 7, "seed": "s",
        "state": "running",
    }  # fmt: skip
    stored = StoredExperiment(
        experiment=Experiment(**fields | changes), profile_id=1, version=3, created_at=START, updated_at=START,
        started_at=START, mismatch_at=mismatch_at,
    )  # fmt: skip
    counts = tuple(VariantCounts(visitors=v, converted_visitors=c) for v, c in proportions)
    return RunningExperiment(1, stored, (PhaseCounts(1, START, "start", variants, counts),))


def action_for(*proportions: tuple[int, int], **changes: Any) -> AutomaticAction | None:
    return next_action(running_experiment(*proportions, **changes), NOW)


PROMOTE = Analysis(on_decision="promote", margin=0.006)
STOP = Analysis(on_decision="stop", margin=0.006)


@pytest.mark.parametrize(
    ("proportions", "analysis", "expected"),
    [
        (((4000, 120), (4000, 240)), Analysis(), None),
        (((4000, 120), (4000, 240)), PROMOTE, ("decided", 1, "superior")),
        (((4000, 120), (4000, 240)), STOP, ("paused", None, "superior")),
        (((4000, 240), (4000, 120)), PROMOTE, ("decided", 0, "harmful")),
        (((40_000, 1200), (40_000, 1201)), PROMOTE, ("decided", 0, "equivalent")),
        (((4000, 120), (4000, 130)), PROMOTE, None),
        (((4000, 120), (4000, 240), (4000, 300)), PROMOTE, ("decided", 2, "superior")),
        (((4000, 120), (4000, 20), (4000, 125)), PROMOTE, None),
        (((4000, 120), (4000, 240)), Analysis(on_decision="promote", min_visitors=9000), None),
        (((0, 0), (0, 0)), PROMOTE, None),
    ],
)
def test_a_rule_ends_an_experiment_as_it_was_set(
    proportions: Any, analysis: Analysis, expected: Any
) -> None:
    action = action_for(*proportions, analysis=analysis)
    if expected is None:
        assert action is None
    else:
        assert action is not None
        experiment = action.experiment
        assert (experiment.state, experiment.winner, action.verdict) == expected
        assert action.action == "end"


def test_a_sample_ratio_mismatch_raises_one_alarm_and_blocks_decisions() -> None:
    action = action_for((4000, 120), (3000, 240), analysis=PROMOTE)
    assert action is not None
    assert (action.action, action.p_value < 0.001) == ("mismatch", True)
    assert action_for((4000, 120), (3000, 240), analysis=PROMOTE, mismatch_at=START) is None
    assert action_for((4000, 120), (3000, 240), state="paused") is None


def test_a_bandit_changes_weights_at_its_interval_and_pools_phases() -> None:
    rule = Analysis(bandit=BanditPolicy(floor=0.1, every_minutes=60))
    action = action_for((500, 10), (500, 40), analysis=rule)
    assert action is not None
    assert (action.action, action.experiment.phase) == ("weights", 2)
    weights = [v.weight for v in action.experiment.variants]
    assert weights == [0.1, 0.9]
    assert (
        action_for((500, 10), (500, 40), analysis=Analysis(bandit=BanditPolicy(every_minutes=180)))
        is None
    )
    assert action_for((0, 0), (0, 0), analysis=rule) is None
    assert action_for((500, 20), (500, 20), analysis=rule) is None  # as good as even
    # A later phase with few visitors still uses the counts of the first.
    first = running_experiment((500, 10), (500, 40), analysis=rule).phases[0]
    variants = action.experiment.variants
    second = PhaseCounts(
        2, START, "bandit", variants, (VariantCounts(visitors=1), VariantCounts(visitors=9))
    )
    stored = running_experiment((1, 0), (1, 0), analysis=rule, phase=2, variants=variants).stored
    assert (
        next_action(RunningExperiment(1, stored, (first, second)), NOW) is None
    )  # the weights stay
    changed = second._replace(reason="change")
    again = next_action(RunningExperiment(1, stored, (first, changed)), NOW)
    assert again is not None
    assert [v.weight for v in again.experiment.variants] != weights


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1)), min_size=2, max_size=10),
    st.floats(0.001, 0.1),
)
@settings(max_examples=50, deadline=None)
def test_weights_keep_their_floor_and_sum_to_one(proportions: Any, floor: float) -> None:
    weights = bandit.thompson_weights(
        [Proportion(n, int(n * share)) for n, share in proportions], floor
    )
    assert sum(weights) == pytest.approx(1, abs=1e-9)
    assert min(weights) >= floor - 1.001 / bandit.PARTS


def test_a_floor_above_an_equal_share_is_refused() -> None:
    with pytest.raises(ValueError, match="floor"):
        bandit.thompson_weights([Proportion(1, 0), Proportion(1, 0)], 0.6)
