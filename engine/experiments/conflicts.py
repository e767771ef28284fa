"""Which experiments of one profile may run at the same time.

Two that test the same thing would decide over each other's visitors, unless each visitor is in one of them
at most: in parts of one namespace that do not overlap. A click's record has room for MAX_VARIANT_REFS.
"""

from collections.abc import Iterable, Sequence

from engine.clicks.record_items import MAX_VARIANT_REFS
from engine.common.errors import ConflictError, InvalidError
from engine.experiments.experiment import (
    MAX_EXPERIMENTS,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    Revision,
    overlap_errors,
    revise,
    with_state,
    with_winner,
)


def check_start(experiment: Experiment, others: Iterable[Experiment]) -> None:
    """Raises ConflictError when it cannot run beside those of the profile's that run."""
    running = [o for o in others if o.state == "running" and o.id != experiment.id]
    for other in running:
        if _tests_the_same(experiment, other) and not _exclusive(experiment, other):
            reason = (
                f"cannot be running while {other.name!r}, which tests the same, is: end that one first, or "
                "give both a part of one namespace"
            )
            raise ConflictError("state", reason)
    alike = [o for o in running if o.kind == experiment.kind]
    if experiment.kind == "destination":
        alike = [o for o in alike if o.link_id == experiment.link_id]
    if len(alike) >= MAX_VARIANT_REFS:
        where = "the page" if experiment.kind == "page" else "one link"
        raise ConflictError(
            "state", f"cannot be running: {MAX_VARIANT_REFS} experiments of {where} are"
        )


def _tests_the_same(one: Experiment, other: Experiment) -> bool:
    subject = (one.kind, one.link_id, one.block_id)
    return subject == (other.kind, other.link_id, other.block_id)


def _exclusive(one: Experiment, other: Experiment) -> bool:
    """Whether no visitor can be in both."""
    a, b = one.namespace, other.namespace
    return a is not None and b is not None and a.id == b.id and (a.high <= b.low or b.high <= a.low)


def check_new(draft: ExperimentDraft, others: Sequence[Experiment]) -> None:
    """Whether a profile with these experiments, archived ones left out, may have one more.

    Raises ConflictError, and InvalidError for a part of a namespace that another one has.
    """
    if len(others) >= MAX_EXPERIMENTS:
        reason = f"there are {MAX_EXPERIMENTS} in this profile; archive or delete one first"
        raise ConflictError("experiments", reason)
    if errors := overlap_errors(draft, others):
        raise InvalidError(errors)


def revise_among(
    experiment: Experiment, draft: ExperimentDraft, others: Sequence[Experiment]
) -> Revision:
    """The experiment as the draft wants it, among others. Raises ConflictError, InvalidError."""
    revision = revise(experiment, draft)
    if errors := overlap_errors(draft, others, experiment.id):
        raise InvalidError(errors)
    if experiment.state == "running":
        check_start(revision.experiment, others)
    return revision


def with_state_among(
    experiment: Experiment,
    state: ExperimentState,
    others: Sequence[Experiment],
    winner: str | None = None,
) -> Experiment:
    """The experiment in another state; `winner` is a variant's name, to decide it. Raises ConflictError,
    InvalidError."""
    if state == "decided":
        return with_winner(experiment, winner or "")
    changed = with_state(experiment, state)
    if state == "running":
        check_start(experiment, others)
    return changed


def check_delete(experiment: Experiment) -> None:
    """Raises ConflictError for one that runs."""
    if experiment.state == "running":
        raise ConflictError("state", "is running: pause or decide it before it is deleted")
