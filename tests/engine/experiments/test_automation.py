"""What experiments do by themselves: only what was set before, and only when the counts say so."""

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


def watched(*arms: tuple[int, int], **changes: Any) -> RunningExperiment:
    names = "abcdefghij"[: len(arms)]
    variants = tuple(
        Variant(name=n, weight=1 / len(arms), target=f"https://{n}.example/") for n in names
    )
    mismatch_at = changes.pop("mismatch_at", None)
    fields: dict[str, Any] = {
        "name": "x", "kind": "destination", "variants": variants, "link_id": 1, "id": 7, "seed": "s",
        "state": "running",
    }  # fmt: skip
    made = StoredExperiment(
        experiment=Experiment(**fields | changes), profile_id=1, version=3, created_at=START, updated_at=START,
        started_at=START, mismatch_at=mismatch_at,
    )  # fmt: skip
    counts = tuple(VariantCounts(visitors=v, converted_visitors=c) for v, c in arms)
    return RunningExperiment(1, made, (PhaseCounts(1, START, "start", variants, counts),))


def done(*arms: tuple[int, int], **changes: Any) -> AutomaticAction | None:
    return next_action(watched(*arms, **changes), NOW)


PROMOTE = Analysis(on_decision="promote", margin=0.006)
STOP = Analysis(on_decision="stop", margin=0.006)


@pytest.mark.parametrize(
    ("arms", "analysis", "wanted"),
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
def test_a_rule_ends_what_it_was_set_to_end(arms: Any, analysis: Analysis, wanted: Any) -> None:
    found = done(*arms, analysis=analysis)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        experiment = found.experiment
        assert (experiment.state, experiment.winner, found.verdict) == wanted
        assert found.action == "end"


def test_a_mismatch_is_told_once_and_nothing_is_decided_of_it() -> None:
    found = done((4000, 120), (3000, 240), analysis=PROMOTE)
    assert found is not None
    assert (found.action, found.p_value < 0.001) == ("mismatch", True)
    assert done((4000, 120), (3000, 240), analysis=PROMOTE, mismatch_at=START) is None
    assert done((4000, 120), (3000, 240), state="paused") is None


def test_a_bandit_moves_at_its_pace_and_pools_what_is_alike() -> None:
    rule = Analysis(bandit=BanditPolicy(floor=0.1, every_minutes=60))
    found = done((500, 10), (500, 40), analysis=rule)
    assert found is not None
    assert (found.action, found.experiment.phase) == ("weights", 2)
    weights = [v.weight for v in found.experiment.variants]
    assert weights == [0.1, 0.9]
    assert (
        done((500, 10), (500, 40), analysis=Analysis(bandit=BanditPolicy(every_minutes=180)))
        is None
    )
    assert done((0, 0), (0, 0), analysis=rule) is None
    assert done((500, 20), (500, 20), analysis=rule) is None  # as good as even
    # A later phase with few visitors does not forget the first.
    first = watched((500, 10), (500, 40), analysis=rule).phases[0]
    variants = found.experiment.variants
    second = PhaseCounts(
        2, START, "bandit", variants, (VariantCounts(visitors=1), VariantCounts(visitors=9))
    )
    stored = watched((1, 0), (1, 0), analysis=rule, phase=2, variants=variants).stored
    assert (
        next_action(RunningExperiment(1, stored, (first, second)), NOW) is None
    )  # weights stay as they are
    changed = second._replace(reason="change")
    again = next_action(RunningExperiment(1, stored, (first, changed)), NOW)
    assert again is not None
    assert [v.weight for v in again.experiment.variants] != weights


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1)), min_size=2, max_size=10),
    st.floats(0.001, 0.1),
)
@settings(max_examples=50, deadline=None)
def test_weights_keep_their_floor_and_sum_to_one(arms: Any, floor: float) -> None:
    found = bandit.thompson_weights([Proportion(n, int(n * share)) for n, share in arms], floor)
    assert sum(found) == pytest.approx(1, abs=1e-9)
    assert min(found) >= floor - 1.001 / bandit.PARTS


def test_a_floor_above_an_equal_share_is_refused() -> None:
    with pytest.raises(ValueError, match="floor"):
        bandit.thompson_weights([Proportion(1, 0), Proportion(1, 0)], 0.6)
