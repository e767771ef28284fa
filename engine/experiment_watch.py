"""What an experiment that runs calls for by itself: an alarm, an end by its rule, other weights.

Only what was set before the start is done: the rule's act, the bandit's floor and pace. A look may come at any
time and as often as anybody likes, since what it decides by may be watched.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from engine import bandit
from engine.bucket import shares
from engine.experiment import Experiment, State, StoredExperiment
from engine.experiment_tally import Phase
from engine.results import pooled_counts
from engine.verdict.decision import Decision
from engine.verdict.summary import Summary, summarise


class Watched(NamedTuple):
    """An experiment that runs, with its phases, oldest first."""

    tenant_id: int
    stored: StoredExperiment
    phases: tuple[Phase, ...]


class Step(NamedTuple):
    """What is to be done. `experiment` is as it is to be; `verdict` why, in a word; `p_value` of an alarm."""

    what: Literal["mismatch", "end", "weights"]
    experiment: Experiment
    verdict: str
    p_value: float = 1.0


def step(watched: Watched, now: datetime) -> Step | None:
    """The next thing that the experiment calls for, if any. Takes milliseconds; the first call a second."""
    stored, phases = watched.stored, watched.phases
    experiment = stored.experiment
    current = [phase for phase in phases if phase.number == experiment.phase]
    if experiment.state != "running" or not current:
        return None
    (phase,) = current
    summary = _summary(experiment, phase)
    if summary.allocation.mismatch and stored.mismatch_at is None:
        return Step("mismatch", experiment, "mismatch", summary.allocation.p_value)
    if experiment.analysis.bandit is not None:
        return _weights(experiment, phases, phase, now)
    return _end(experiment, summary)


def _summary(experiment: Experiment, phase: Phase) -> Summary:
    wanted = shares([v.weight for v in phase.variants], experiment.coverage or 1.0)
    arms = [counts.arm for counts in phase.counts]
    given = wanted if any(wanted) else [1.0] * len(arms)
    return summarise(arms, given, experiment.analysis.rule, experiment.analysis.tuning_visitors)


def _end(experiment: Experiment, summary: Summary) -> Step | None:
    act = experiment.analysis.act
    if act == "none":
        return None
    decisions = [standing.decision for standing in summary.standings[1:]]
    superior = [n for n, decision in enumerate(decisions, 1) if decision is Decision.SUPERIOR]
    if superior:
        winner = max(superior, key=lambda n: summary.standings[n].arm.rate)
        verdict = Decision.SUPERIOR.value
    elif Decision.UNDECIDED in decisions:
        return None
    else:
        winner = 0
        harmful = all(decision is Decision.HARMFUL for decision in decisions)
        verdict = (Decision.HARMFUL if harmful else Decision.EQUIVALENT).value
    state: State = "decided" if act == "promote" else "paused"
    changed = msgspec.structs.replace(
        experiment, state=state, winner=winner if state == "decided" else None
    )
    return Step("end", changed, verdict)


def _weights(
    experiment: Experiment, phases: Sequence[Phase], phase: Phase, now: datetime
) -> Step | None:
    rule = experiment.analysis.bandit
    assert rule is not None
    if now < phase.started_at + timedelta(minutes=rule.every_minutes):
        return None
    if not any(counts.visitors for counts in phase.counts):
        return None
    arms = [counts.arm for counts in pooled_counts(phases, phase)]
    wanted = bandit.weights(arms, rule.floor)
    if not bandit.moved([variant.weight for variant in experiment.variants], wanted):
        return None
    variants = tuple(
        msgspec.structs.replace(variant, weight=weight)
        for variant, weight in zip(experiment.variants, wanted, strict=True)
    )
    changed = msgspec.structs.replace(experiment, variants=variants, phase=experiment.phase + 1)
    return Step("weights", changed, "bandit")
