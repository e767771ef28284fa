"""Experiments of one profile beside each other: how many there are, and how many run at once."""

from typing import Any

import pytest

from engine.common.errors import ConflictError
from engine.experiments.conflicts import check_new, check_start
from engine.experiments.experiment import Experiment, ExperimentDraft, Namespace, Variant


def experiment(number: int, **changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "id": number,
        "seed": "s",
        "name": str(number),
        "kind": "destination",
        "variants": (Variant(name="a", weight=0.5), Variant(name="b", weight=0.5)),
        "link_id": 1,
        "state": "running",
    }
    return Experiment(**fields | changes)


def part(number: int) -> Namespace:
    return Namespace(id="n", low=number / 10, high=(number + 1) / 10)


def test_a_profile_has_a_hundred_experiments_that_are_not_archived() -> None:
    draft = ExperimentDraft(name="x", kind="destination", variants=(), link_id=1)
    others = [experiment(number, state="draft") for number in range(1, 101)]
    check_new(draft, others[:99])
    with pytest.raises(ConflictError, match="at most 100"):
        check_new(draft, others)


@pytest.mark.parametrize("kind", ["destination", "page"])
def test_eight_experiments_run_on_one_link_and_eight_on_the_page(kind: str) -> None:
    """A click's record has room for eight variants."""

    def one(number: int, link_id: int = 1) -> Experiment:
        if kind == "page":
            return experiment(number, kind="page", link_id=number)
        return experiment(number, link_id=link_id, namespace=part(number))

    others = [one(number) for number in range(1, 9)]
    check_start(one(9), others[:7])
    with pytest.raises(ConflictError, match="8 experiments"):
        check_start(one(9), others)
    # Those of another link, and those that do not run, take no room.
    if kind == "destination":
        check_start(one(9, link_id=2), others)
    paused = [*others[:7], experiment(8, kind=kind, link_id=8, state="paused")]
    check_start(one(9), paused)


def test_two_experiments_on_one_thing_run_in_parts_of_one_namespace_only() -> None:
    running = experiment(1, namespace=part(1))
    check_start(experiment(2, namespace=part(2)), [running])
    check_start(experiment(2, link_id=2), [running])
    for namespace in (None, part(1), Namespace(id="other", low=0.2, high=0.3)):
        with pytest.raises(ConflictError, match="same subject"):
            check_start(experiment(2, namespace=namespace), [running])
