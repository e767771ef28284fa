"""Assignment: the variant of each visitor, its reason, and that all processes assign alike."""

from typing import Any

import msgspec
import pytest

from engine.experiments.assignment import Assignment, AssignmentContext, assign, explain, hash_key
from engine.experiments.bucketing import bucket, choose
from engine.experiments.experiment import Experiment, Namespace, Targeting, Variant, revise

VARIANTS = (
    Variant(name="a", weight=0.5, target="https://a.example/"),
    Variant(name="b", weight=0.5, target="https://b.example/"),
)
KEYS = [hash_key(b"secret", str(number).encode()) for number in range(2000)]


def experiment(**changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "id": 7, "name": "Spring", "kind": "destination", "link_id": 1, "seed": "s",
        "state": "running", "variants": VARIANTS,
    }  # fmt: skip
    return Experiment(**fields | changes)


def reason(tested: Experiment, **context: Any) -> str:
    fields: dict[str, Any] = {"hash_key": "k", "at_ms": 100}
    assignment = assign(tested, AssignmentContext(**fields | context))
    assert assignment.exposed == (assignment.reason == "assigned")
    return assignment.reason


def test_an_assignment_is_the_published_hash_of_the_phase() -> None:
    for number, coverage in enumerate((1.0, 0.3)):
        tested = experiment(coverage=coverage, phase=number + 1)
        for key in KEYS[:200]:
            assignment = assign(tested, AssignmentContext(key, 0))
            assert assignment.bucket == bucket(f"s:{number + 1}", key)
            assert assignment.variant == choose(assignment.bucket, [0.5, 0.5], coverage)
            assert assignment.exposed == (assignment.variant is not None)


def test_another_process_with_the_same_experiment_assigns_the_same() -> None:
    here = experiment(coverage=0.8)
    there = msgspec.json.decode(msgspec.json.encode(here), type=Experiment)
    assert [assign(here, AssignmentContext(k, 0)) for k in KEYS] == [
        assign(there, AssignmentContext(k, 0)) for k in KEYS
    ]


def test_a_new_phase_assigns_anew() -> None:
    """Half of 2,000 keys keep their variant by chance: 1,000, with deviation 22."""
    before = experiment()
    swapped = (VARIANTS[0], msgspec.structs.replace(VARIANTS[1], target="https://c.example/"))
    after = revise(before, msgspec.structs.replace(before, variants=swapped)).experiment
    same = sum(
        assign(before, AssignmentContext(k, 0))[0] == assign(after, AssignmentContext(k, 0))[0]
        for k in KEYS
    )
    assert abs(same - 1000) < 4 * 22.4


def test_each_rule_has_its_reason() -> None:
    assert reason(experiment()) == "assigned"
    for state in ("draft", "paused", "archived"):
        assert reason(experiment(state=state)) == "state"
    scheduled = experiment(starts_at_ms=100, ends_at_ms=200)
    assert [reason(scheduled, at_ms=ms) for ms in (99, 100, 199, 200)] == [
        "early", "assigned", "assigned", "late",
    ]  # fmt: skip
    assert reason(experiment(), bot=True) == "bot"
    assert reason(experiment(coverage=0.0)) == "coverage"


@pytest.mark.parametrize(
    ("targeting", "field", "yes", "no"),
    [
        (Targeting(countries=("IT", "AT")), "country", "AT", "DE"),
        (Targeting(devices=("phone",)), "device", "phone", "desktop"),
        (Targeting(languages=("it",)), "language", "it", "de"),
    ],
)
def test_only_targeted_visitors_take_part(
    targeting: Targeting, field: str, yes: str, no: str
) -> None:
    tested = experiment(targeting=targeting)
    assert reason(tested, **{field: yes}) == "assigned"
    assert reason(tested, **{field: no}) == field
    assert reason(tested) == field


def test_a_decided_experiment_serves_its_winner_and_exposes_no_visitor() -> None:
    tested = experiment(state="decided", winner=1, targeting=Targeting(countries=("IT",)))
    for bot in (True, False):
        assert assign(tested, AssignmentContext("k", 0, bot=bot)) == Assignment(1, "decided")


def test_a_forced_variant_exposes_no_visitor() -> None:
    for state in ("draft", "running", "paused", "decided"):
        tested = experiment(state=state, winner=0)
        assert assign(tested, AssignmentContext("k", 0, forced="b")) == Assignment(1, "forced")
    assert reason(experiment(), forced="unknown") == "assigned"
    assert reason(experiment(state="archived"), forced="b") == "state"


def test_parts_of_a_namespace_exclude_each_other_and_take_their_share() -> None:
    parts = [(0.0, 0.3), (0.3, 1.0)]
    experiments = [
        experiment(id=number, seed=f"s{number}", namespace=Namespace(id="n", low=low, high=high))
        for number, (low, high) in enumerate(parts)
    ]
    contexts = [AssignmentContext(key, 0, namespace_key=f"n{key}") for key in KEYS]
    exposed = [[assign(e, c).exposed for c in contexts] for e in experiments]
    assert all(first != second for first, second in zip(*exposed, strict=True))
    assert abs(sum(exposed[0]) - 600) < 4 * 20.5  # deviation √(2000 × 0.3 × 0.7)


def test_a_namespace_has_a_key_of_its_own() -> None:
    """Otherwise a visitor's part of the namespace would depend on the experiment's secret."""
    tested = experiment(namespace=Namespace(id="n", low=0, high=0.5))
    for namespace_key in KEYS[:20]:
        reasons = {reason(tested, hash_key=key, namespace_key=namespace_key) for key in KEYS[:20]}
        assert len(reasons) == 1


def test_a_namespace_does_not_tilt_the_variants_within() -> None:
    tested = experiment(namespace=Namespace(id="n", low=0, high=0.5))
    assignments = [assign(tested, AssignmentContext(key, 0, namespace_key=key)) for key in KEYS]
    inside = [assignment.variant for assignment in assignments if assignment.exposed]
    assert abs(sum(index == 0 for index in inside) - len(inside) / 2) < 4 * 16


def test_keys_depend_on_the_secret_and_on_the_visitor() -> None:
    assert hash_key(b"one", b"v") != hash_key(b"two", b"v")
    assert hash_key(b"one", b"v") != hash_key(b"one", b"w")
    assert len(set(KEYS)) == len(KEYS)
    assert all(len(key) == 8 and key.isascii() for key in KEYS)


def test_every_reason_is_explained() -> None:
    tested = experiment(
        starts_at_ms=10, ends_at_ms=20, coverage=0.5,
        targeting=Targeting(countries=("IT",), devices=("phone",), languages=("it",)),
        namespace=Namespace(id="group", low=0, high=0.5),
    )  # fmt: skip
    texts = set()
    for key in KEYS[:50]:
        for at_ms in (5, 15, 25):
            for country in ("IT", ""):
                for device in ("phone", "tv"):
                    for language in ("it", "de"):
                        context = AssignmentContext(key, at_ms, key, country, device, language)
                        texts.add(explain(tested, context).split("position")[0])
    texts.add(explain(tested, AssignmentContext("k", 15, forced="b")))
    texts.add(explain(tested, AssignmentContext("k", 15, bot=True)))
    texts.add(explain(experiment(state="paused"), AssignmentContext("k", 0)))
    texts.add(explain(experiment(state="decided", winner=0), AssignmentContext("k", 0)))
    for part in (
        "is in variant a by", "is in variant b by", "variant b by preview", "variant a, which won",
        "is paused", "not begun", "has ended", "bots never are", "country unknown is not one of IT",
        "device tv is not one of phone", "language de is not one of it", "namespace group",
        "is not included: ",
    ):  # fmt: skip
        assert any(part in text for text in texts), part
    assert "outside the coverage of 0.5" in " ".join(
        explain(tested, AssignmentContext(key, 15, key, "IT", "phone", "it")) for key in KEYS[:50]
    )
