"""Experiments: what is refused and why, the states, and what begins a new phase."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from engine.common.errors import ConflictError, InvalidError
from engine.experiments.experiment import (
    TRANSITIONS,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    Namespace,
    Targeting,
    Variant,
    bucket,
    choose,
    overlap_errors,
    revise,
    validate_draft,
    with_state,
    with_winner,
)

A = Variant(name="a", weight=0.5, target="https://a.example/")
B = Variant(name="b", weight=0.5, target="https://b.example/")


def draft(**changes: Any) -> ExperimentDraft:
    fields: dict[str, Any] = {
        "name": "Spring",
        "kind": "destination",
        "variants": (A, B),
        "link_id": 1,
    }
    return ExperimentDraft(**fields | changes)


def experiment(**changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "name": "Spring",
        "kind": "destination",
        "variants": (A, B),
        "link_id": 1,
    }
    return Experiment(**fields | {"id": 7, "seed": "s"} | changes)


def fields_of(checked: ExperimentDraft, **options: Any) -> list[str]:
    valid_draft, errors = validate_draft(checked, **options)
    assert (valid_draft is None) == bool(errors)
    return [error.field for error in errors]


def test_the_contract_has_its_functions_here() -> None:
    assert choose(bucket("seed", "a"), [0.5, 0.5]) == 0


def test_a_good_draft_is_normalised() -> None:
    variants = (
        msgspec.structs.replace(A, weight=2, target="HTTPS://A.example"),
        msgspec.structs.replace(B, weight=3),
    )
    valid_draft, errors = validate_draft(draft(variants=variants))
    assert not errors
    assert valid_draft is not None
    heavier = msgspec.structs.replace(A, weight=0.4), msgspec.structs.replace(B, weight=0.6)
    assert valid_draft.variants == heavier


@dataclass
class Bad:
    changes: dict[str, Any]
    fields: list[str]


@pytest.mark.parametrize(
    "bad",
    [
        Bad({"name": ""}, ["name"]),
        Bad({"name": "x" * 65}, ["name"]),
        Bad({"kind": "poll", "link_id": 1}, ["kind"]),
        Bad({"variants": (A,)}, ["variants"]),
        Bad({"variants": (A,) * 11}, ["variants"]),
        Bad({"variants": (A, A)}, ["variants.1.name"]),
        Bad({"variants": (A, Variant(name="b", weight=-1))}, ["variants.1.weight"]),
        Bad(
            {"variants": (msgspec.structs.replace(A, weight=0), Variant(name="b", weight=0))},
            ["variants"],
        ),
        Bad({"variants": (A, Variant(name="b", weight=float("nan")))}, ["variants.1.weight"]),
        Bad(
            {"variants": (A, Variant(name="b", weight=1, target="ftp://x"))}, ["variants.1.target"]
        ),
        Bad({"variants": (A, Variant(name="b", weight=1, title="t"))}, ["variants.1"]),
        Bad({"link_id": None}, ["link_id"]),
        Bad({"block_id": "b3"}, ["link_id"]),
        Bad({"kind": "page", "variants": (A, B)}, ["variants.0.target", "variants.1.target"]),
        Bad({"coverage": 1.1}, ["coverage"]),
        Bad({"coverage": float("nan")}, ["coverage"]),
        Bad({"starts_at_ms": 5, "ends_at_ms": 5}, ["ends_at_ms"]),
        Bad({"targeting": Targeting(countries=("it",))}, ["targeting.countries"]),
        Bad({"targeting": Targeting(countries=("IT",) * 301)}, ["targeting.countries"]),
        Bad({"targeting": Targeting(devices=("fridge",))}, ["targeting.devices"]),
        Bad({"targeting": Targeting(languages=("de-AT",))}, ["targeting.languages"]),
        Bad({"namespace": Namespace(id="n", low=0.5, high=0.5)}, ["namespace"]),
        Bad({"namespace": Namespace(id="", low=0, high=2)}, ["namespace.id", "namespace"]),
        Bad({"name": "", "coverage": -1}, ["name", "coverage"]),
    ],
    ids=lambda bad: str(list(bad.changes)),
)
def test_each_bad_field_is_named(bad: Bad) -> None:
    assert fields_of(draft(**bad.changes)) == bad.fields


def test_a_page_needs_one_subject_and_its_changes_have_bounds() -> None:
    plain = (Variant(name="a", weight=0.5), Variant(name="b", weight=0.5, title="Tea", position=0))
    page = draft(kind="page", variants=plain)
    assert fields_of(page) == []
    assert fields_of(msgspec.structs.replace(page, link_id=None, block_id="b2")) == []
    assert fields_of(msgspec.structs.replace(page, block_id="b2")) == ["link_id"]
    high = (plain[0], Variant(name="b", weight=0.5, title="\n", position=-1))
    assert fields_of(msgspec.structs.replace(page, variants=high)) == [
        "variants.1.title",
        "variants.1.position",
    ]


def test_private_targets_are_refused_unless_allowed() -> None:
    local = (A, msgspec.structs.replace(B, target="http://localhost/"))
    assert fields_of(draft(variants=local), private_hosts=False) == ["variants.1.target"]
    assert fields_of(draft(variants=local)) == []


@pytest.mark.parametrize("state", TRANSITIONS)
@pytest.mark.parametrize("to", TRANSITIONS)
def test_only_legal_steps_are_taken(state: ExperimentState, to: ExperimentState) -> None:
    def step() -> Experiment:
        before = experiment(state=state)
        return with_winner(before, "b") if to == "decided" else with_state(before, to)

    if to in TRANSITIONS[state]:
        assert step().state == to
    else:
        with pytest.raises(ConflictError, match=f"{state} may become"):
            step()


def test_a_decision_names_one_of_the_variants() -> None:
    assert with_winner(experiment(state="running"), "b").winner == 1
    with pytest.raises(InvalidError, match="winner: must be one of a, b"):
        with_winner(experiment(state="running"), "c")


def test_a_start_needs_every_target() -> None:
    variants = (A, msgspec.structs.replace(B, target=""))
    assert fields_of(draft(variants=variants)) == []
    with pytest.raises(InvalidError) as raised:
        with_state(experiment(variants=variants), "running")
    assert [error.field for error in raised.value.errors] == ["variants.1.target"]


def test_coverage_keeps_the_phase_and_weights_begin_another() -> None:
    running = experiment(state="running")
    covered = revise(running, draft(coverage=0.5))
    assert not covered.new_phase
    assert covered.experiment.coverage == 0.5
    assert covered.experiment.phase_seed == running.phase_seed
    assert covered.experiment.prepared.ranges.ends == (0.25, 0.75)

    heavier = (msgspec.structs.replace(A, weight=0.7), msgspec.structs.replace(B, weight=0.3))
    weighed = revise(running, draft(variants=heavier))
    assert weighed.new_phase
    assert weighed.experiment.phase == 2
    assert weighed.experiment.phase_seed != running.phase_seed
    assert weighed.experiment.prepared.seed_state != running.prepared.seed_state
    assert weighed.experiment.seed == running.seed


def test_changes_of_a_draft_begin_no_phase() -> None:
    other = msgspec.structs.replace(B, target="https://c.example/")
    revision = revise(experiment(), draft(variants=(A, other)))
    assert not revision.new_phase
    assert revision.experiment.phase == 1
    assert revision.experiment.variants == (A, other)


def test_an_illegal_revision_is_refused() -> None:
    for state in ("decided", "archived"):
        with pytest.raises(ConflictError, match="must not be"):
            revise(experiment(state=state), draft())
    with pytest.raises(ConflictError, match="after the start"):
        revise(experiment(state="paused"), draft(link_id=2))
    empty = (A, msgspec.structs.replace(B, target=""))
    with pytest.raises(InvalidError, match="target after the start"):
        revise(experiment(state="running"), draft(variants=empty))


def test_parts_of_a_namespace_must_not_overlap() -> None:
    half = experiment(state="running", namespace=Namespace(id="n", low=0, high=0.5))
    overlapping = draft(namespace=Namespace(id="n", low=0.4, high=0.6))
    assert [e.field for e in overlap_errors(overlapping, [half])] == ["namespace"]
    assert overlap_errors(overlapping, [half], own_id=half.id) == []
    assert overlap_errors(overlapping, [msgspec.structs.replace(half, state="archived")]) == []
    assert overlap_errors(draft(), [half]) == []
    beside = draft(namespace=Namespace(id="n", low=0.5, high=0.6))
    assert overlap_errors(beside, [half]) == []
    other = draft(namespace=Namespace(id="m", low=0.4, high=0.6))
    assert overlap_errors(other, [half]) == []


def test_an_experiment_is_encoded_and_decoded_without_loss() -> None:
    original = experiment(namespace=Namespace(id="n", low=0, high=0.5))
    assert original.prepared.namespace is not None
    assert msgspec.json.decode(msgspec.json.encode(original), type=Experiment) == original
