"""What an experiment that runs calls for by itself: an alarm, an end by its rule, other weights.

Only what was set before the start is done: the rule's act, the bandit's floor and pace. A look may come at any
time and as often as anybody likes, since what it decides by may be watched.
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
    """An experiment that runs, with its phases, oldest first."""

    tenant_id: int
    stored: StoredExperiment
    phases: tuple[PhaseCounts, ...]


class AutomaticAction(NamedTuple):
    """What is to be done. `experiment` is as it is to be; `verdict` why, in a word; `p_value` of an alarm."""

    action: Literal["mismatch", "end", "weights"]
    experiment: Experiment
    verdict: str
    p_value: float = 1.0


def next_action(watched: RunningExperiment, now: datetime) -> AutomaticAction | None:
    """The next thing that the experiment calls for, if any. Takes milliseconds; the first call a second."""
    stored, phases = watched.stored, watched.phases
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
    wanted = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    arms = [counts.proportion for counts in phase.counts]
    given = wanted if any(wanted) else [1.0] * len(arms)
    return analyse(arms, given, experiment.analysis.rule, experiment.analysis.tuning_visitors)


def _end(experiment: Experiment, summary: ExperimentSummary) -> AutomaticAction | None:
    act = experiment.analysis.on_decision
    if act == "none":
        return None
    decisions = [standing.decision for standing in summary.standings[1:]]
    superior = [
        n for n, decision in enumerate(decisions, 1) if decision is ExperimentDecision.SUPERIOR
    ]
    if superior:
        winner = max(superior, key=lambda n: summary.standings[n].arm.rate)
        verdict = ExperimentDecision.SUPERIOR.value
    elif ExperimentDecision.UNDECIDED in decisions:
        return None
    else:
        winner = 0
        harmful = all(decision is ExperimentDecision.HARMFUL for decision in decisions)
        verdict = (ExperimentDecision.HARMFUL if harmful else ExperimentDecision.EQUIVALENT).value
    state: ExperimentState = "decided" if act == "promote" else "paused"
    changed = msgspec.structs.replace(
        experiment, state=state, winner=winner if state == "decided" else None
    )
    return AutomaticAction("end", changed, verdict)


def _weights(
    experiment: Experiment, phases: Sequence[PhaseCounts], phase: PhaseCounts, now: datetime
) -> AutomaticAction | None:
    rule = experiment.analysis.bandit
    assert rule is not None
    if now < phase.started_at + timedelta(minutes=rule.every_minutes):
        return None
    if not any(counts.visitors for counts in phase.counts):
        return None
    arms = [counts.proportion for counts in pooled_counts(phases, phase)]
    wanted = bandit.thompson_weights(arms, rule.floor)
    if not bandit.weights_moved_enough([variant.weight for variant in experiment.variants], wanted):
        return None
    variants = tuple(
        msgspec.structs.replace(variant, weight=weight)
        for variant, weight in zip(experiment.variants, wanted, strict=True)
    )
    changed = msgspec.structs.replace(experiment, variants=variants, phase=experiment.phase + 1)
    return AutomaticAction("weights", changed, "bandit")
