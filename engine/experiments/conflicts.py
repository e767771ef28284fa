"""Conflicts between experiments of one profile that run at the same time.

Two experiments on one subject would decide over each other's visitors, unless each visitor is in at most one
of them: in parts of one namespace that do not overlap. A click's record has room for MAX_VARIANT_REFS.
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
    """Raise ConflictError if the experiment cannot run beside the profile's running ones."""
    running = [other for other in others if other.state == "running" and other.id != experiment.id]
    for other in running:
        if _have_one_subject(experiment, other) and not _exclusive(experiment, other):
            reason = (
                f"cannot be running while {other.name!r} runs on the same subject: end that experiment first, "
                "or give both a part of one namespace"
            )
            raise ConflictError("state", reason)
    alike = [other for other in running if other.kind == experiment.kind]
    if experiment.kind == "destination":
        alike = [other for other in alike if other.link_id == experiment.link_id]
    if len(alike) >= MAX_VARIANT_REFS:
        where = "the page" if experiment.kind == "page" else "one link"
        raise ConflictError(
            "state", f"cannot be running: {MAX_VARIANT_REFS} experiments of {where} run already"
        )


def _have_one_subject(first: Experiment, second: Experiment) -> bool:
    subject = (first.kind, first.link_id, first.block_id)
    return subject == (second.kind, second.link_id, second.block_id)


def _exclusive(first: Experiment, second: Experiment) -> bool:
    """Return whether no visitor can be in both."""
    a, b = first.namespace, second.namespace
    return a is not None and b is not None and a.id == b.id and (a.high <= b.low or b.high <= a.low)


def check_new(draft: ExperimentDraft, others: Sequence[Experiment]) -> None:
    """Check that a profile with these experiments, archived ones excluded, may have one more.

    Raises ConflictError, and InvalidError for a part of a namespace that another experiment has.
    """
    if len(others) >= MAX_EXPERIMENTS:
        reason = f"must be at most {MAX_EXPERIMENTS} in a profile; archive or delete one first"
        raise ConflictError("experiments", reason)
    if errors := overlap_errors(draft, others):
        raise InvalidError(errors)


def revise_among(
    experiment: Experiment, draft: ExperimentDraft, others: Sequence[Experiment]
) -> Revision:
    """Return the revision of the experiment by the draft. Raises ConflictError, InvalidError."""
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
    """Return the experiment in another state; `winner` is a variant's name, to decide it.

    Raises ConflictError, InvalidError.
    """
    if state == "decided":
        return with_winner(experiment, winner or "")
    changed = with_state(experiment, state)
    if state == "running":
        check_start(experiment, others)
    return changed


def check_delete(experiment: Experiment) -> None:
    """Raise ConflictError for a running experiment."""
    if experiment.state == "running":
        raise ConflictError(
            "state", "must not be running: pause or decide the experiment before it is deleted"
        )
