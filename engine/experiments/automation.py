"""Automation: what a running experiment does by itself: an SRM alarm, an end by its rule, other weights.

Only what was set before the start is done: the rule's action, the bandit's floor and interval. A look may
come at any time and any number of times, since it decides by results that hold at every look.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from engine.experiments import bandit
from engine.experiments.bucketing import shares
from engine.experiments.counts import PhaseCounts
from engine.experiments.experiment import Experiment, ExperimentState, StoredExperiment
from engine.experiments.results import pooled_counts
from engine.experiments.verdict.decision import ExperimentDecision
from engine.experiments.verdict.summary import ExperimentSummary, analyse


class RunningExperiment(NamedTuple):
    """A running experiment with its phases, oldest first."""

    tenant_id: int
    stored: StoredExperiment
    phases: tuple[PhaseCounts, ...]


class AutomaticAction(NamedTuple):
    """An action to apply. `experiment` is the new definition, `verdict` the one-word reason, `p_value` is
    set for an SRM alarm."""

    action: Literal["mismatch", "end", "weights"]
    experiment: Experiment
    verdict: str
    p_value: float = 1.0


def next_action(running: RunningExperiment, now: datetime) -> AutomaticAction | None:
    """Return the next action of the experiment, None if there is none. Takes milliseconds; the first call a
    second."""
    stored, phases = running.stored, running.phases
    experiment = stored.experiment
    current = [phase for phase in phases if phase.number == experiment.phase]
    if experiment.state != "running" or not current:
        return None
    (phase,) = current
    summary = _summary(experiment, phase)
    if summary.allocation.mismatch and stored.mismatch_at is None:
        return AutomaticAction("mismatch", experiment, "mismatch", summary.allocation.p_value)
    if experiment.analysis.bandit is not None:
        return _weights(experiment, phases, phase, now)
    return _end(experiment, summary)


def _summary(experiment: Experiment, phase: PhaseCounts) -> ExperimentSummary:
    expected = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    proportions = [counts.proportion for counts in phase.counts]
    if not any(expected):
        expected = [1.0] * len(proportions)
    return analyse(
        proportions, expected, experiment.analysis.rule, experiment.analysis.tuning_visitors
    )


def _end(experiment: Experiment, summary: ExperimentSummary) -> AutomaticAction | None:
    on_decision = experiment.analysis.on_decision
    if on_decision == "none":
        return None
    decisions = [variant.decision for variant in summary.variants[1:]]
    superior = [
        n for n, decision in enumerate(decisions, 1) if decision is ExperimentDecision.SUPERIOR
    ]
    if superior:
        winner = max(superior, key=lambda n: summary.variants[n].proportion.rate)
        verdict = ExperimentDecision.SUPERIOR.value
    elif ExperimentDecision.UNDECIDED in decisions:
        return None
    else:
        winner = 0
        harmful = all(decision is ExperimentDecision.HARMFUL for decision in decisions)
        verdict = (ExperimentDecision.HARMFUL if harmful else ExperimentDecision.EQUIVALENT).value
    state: ExperimentState = "decided" if on_decision == "promote" else "paused"
    changed = msgspec.structs.replace(
        experiment, state=state, winner=winner if state == "decided" else None
    )
    return AutomaticAction("end", changed, verdict)


def _weights(
    experiment: Experiment, phases: Sequence[PhaseCounts], phase: PhaseCounts, now: datetime
) -> AutomaticAction | None:
    policy = experiment.analysis.bandit
    assert policy is not None
    if now < phase.started_at + timedelta(minutes=policy.every_minutes):
        return None
    if not any(counts.visitors for counts in phase.counts):
        return None
    proportions = [counts.proportion for counts in pooled_counts(phases, phase)]
    weights = bandit.thompson_weights(proportions, policy.floor)
    if not bandit.weights_moved_enough(
        [variant.weight for variant in experiment.variants], weights
    ):
        return None
    variants = tuple(
        msgspec.structs.replace(variant, weight=weight)
        for variant, weight in zip(experiment.variants, weights, strict=True)
    )
    changed = msgspec.structs.replace(experiment, variants=variants, phase=experiment.phase + 1)
    return AutomaticAction("weights", changed, "bandit")
