"""An edge assigns variants as the rules do, and shows previews to visitors with a token."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks.click import VisitorClass
from engine.clicks.record_items import PLACE, VariantRef, item, unpack_variant_refs
from engine.experiments.assignment import AssignmentContext, assign, hash_key
from engine.experiments.experiment import EdgeExperiment, Experiment, Namespace, Targeting, Variant
from engine.visits import edge_assignment
from engine.visits.edge_assignment import (
    AssignedVariant,
    VariantAssigner,
    country_of,
    device_of,
    language_of,
    new_cookie_value,
    preview_token,
    take_preview_token,
    visitor_identity,
)
from engine.visits.place import pack_place
from engine.visits.request import ClientInfo, Visit, VisitRequest

PHONE = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
DESKTOP = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
SECRET, GROUP = bytes(range(32)), bytes(range(32, 64))
AT_US = 1_780_000_000_000_000


def edge(**changes: Any) -> EdgeExperiment:
    variants = tuple(
        Variant(name=name, weight=0.25, target=f"https://{name}.example/") for name in "abcd"
    )
    fields: dict[str, Any] = {
        "name": "x",
        "kind": "destination",
        "variants": variants,
        "link_id": 1,
    }
    experiment = Experiment(**fields | {"id": 7, "seed": "s", "state": "running"} | changes)
    return EdgeExperiment(experiment, SECRET, GROUP)


def visit(
    number: int,
    agent: bytes = DESKTOP,
    language: bytes = b"de-AT,en",
    country: str = "IT",
    at_us: int = AT_US,
    **fields: Any,
) -> Visit:
    """A visit from the network of this number."""
    request = VisitRequest(b"/x", b"", agent, b"", language, False, True, **fields)
    place = item(PLACE, pack_place("", country))
    client = ClientInfo(b"\x04" + number.to_bytes(4, "big"), place)
    return Visit(request, client, VisitorClass.HUMAN, at_us, None)


states = st.sampled_from(
    ["draft", "running", "running", "running", "paused", "decided", "archived"]
)
times = st.none() | st.integers(-2, 2).map(lambda hours: AT_US // 1000 + hours * 3_600_000)


@given(
    state=states,
    coverage=st.sampled_from([0.0, 0.3, 1.0]),
    group=st.none() | st.sampled_from([Namespace(id="n", low=0, high=0.5)]),
    countries=st.sampled_from([(), ("IT",), ("FR", "DE")]),
    devices=st.sampled_from([(), ("phone",), ("desktop", "tablet")]),
    languages=st.sampled_from([(), ("de",), ("en",)]),
    starts=times,
    ends=times,
    human=st.booleans(),
    number=st.integers(0, 2**32 - 1),
    agent=st.sampled_from([PHONE, DESKTOP, b""]),
    cookie=st.sampled_from([b"", new_cookie_value(bytes(16)), new_cookie_value(bytes(range(16)))]),
)
@settings(max_examples=400, deadline=None)
def test_an_edge_assigns_as_the_rules_do(
    state: Any, coverage: float, group: Namespace | None, countries: Any, devices: Any,
    languages: Any, starts: int | None, ends: int | None, human: bool, number: int, agent: bytes,
    cookie: bytes,
) -> None:  # fmt: skip
    targeting = Targeting(countries=countries, devices=devices, languages=languages)
    edge_experiment = edge(
        state=state, coverage=coverage, namespace=group, targeting=targeting, starts_at_ms=starts,
        ends_at_ms=ends, cookie=bool(cookie), winner=2 if state == "decided" else None, phase=3,
    )  # fmt: skip
    visit_ = visit(number, agent)
    request, client = visit_.request, visit_.client
    assigned = VariantAssigner(edge_experiment).assign(visit_, human, cookie)
    identity = cookie or visitor_identity(client, request)
    context = AssignmentContext(
        hash_key=hash_key(SECRET, identity),
        at_ms=AT_US // 1000,
        namespace_key=hash_key(GROUP, identity),
        country=country_of(client),
        device=device_of(request),
        language=language_of(request),
        bot=not human,
    )
    expected = assign(edge_experiment.experiment, context)
    if expected.reason == "bot":
        assert assigned == AssignedVariant(0)
        return
    assert assigned.variant == expected.variant
    assert list(unpack_variant_refs(assigned.packed_exposure)) == (
        [VariantRef(7, 3, assigned.variant or 0)] if expected.exposed else []
    )


def test_a_schedule_includes_its_start_and_not_its_end() -> None:
    second_ms = AT_US // 1000
    assigner = VariantAssigner(edge(starts_at_ms=second_ms, ends_at_ms=second_ms + 1000))
    exposed = [
        bool(assigner.assign(visit(1, at_us=AT_US + us), True, b"").packed_exposure)
        for us in (-1, 0, 999_999, 1_000_000)
    ]
    assert exposed == [False, True, True, False]


def test_a_variant_depends_on_nothing_but_the_visitor() -> None:
    assigner = VariantAssigner(edge())
    variants = {
        assigner.assign(visit(9, DESKTOP, language, country, at_us, host=host), True, b"")
        for language in (b"", b"de")
        for host in (b"", b"go.example")
        for country in ("IT", "FR")
        for at_us in (AT_US, AT_US + 86_400_000_000 * 40)
    }
    assert len(variants) == 1
    others = {assigner.assign(visit(n), True, b"").variant for n in range(40)}
    assert others == {0, 1, 2, 3}
    again = VariantAssigner(edge())  # of another edge, or after a restart
    for number in range(50):
        visit_ = visit(number)
        assert again.assign(visit_, True, b"") == assigner.assign(visit_, True, b"")


def test_a_remembered_variant_is_the_hashed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_assignment, "MAX_REMEMBERED_VISITORS", 10)
    first, second = VariantAssigner(edge()), VariantAssigner(edge(seed="t"))
    fresh = {}
    for number in range(40):
        for assigner in (first, second):
            fresh[assigner, number] = assigner.assign(visit(number), True, b"")
    for (assigner, number), assigned in fresh.items():
        assert assigner.assign(visit(number), True, b"") == assigned
        assert assigner.assign(visit(number), True, b"") is assigned
        assert len(edge_assignment._recent) <= 10
    assert [fresh[first, n].variant for n in range(40)] != [
        fresh[second, n].variant for n in range(40)
    ]


def test_a_preview_is_for_one_experiment_variant_and_time() -> None:
    draft = edge(state="draft")
    assigner, until_s = VariantAssigner(draft), AT_US // 1_000_000 + 60
    token = preview_token(draft, 2, until_s).encode()
    assert assigner.assign_preview(token, AT_US) == AssignedVariant(2)
    assert assigner.assign_preview(token, AT_US + 60_000_000).variant is None
    for wrong in (
        token[:-1] + (b"A" if token[-1:] != b"A" else b"B"),
        token.replace(b"-2-", b"-1-", 1),
        token.replace(str(until_s).encode(), str(until_s + 9).encode()),
        b"",
        b"b",
        token + b"x",
    ):
        assert assigner.assign_preview(wrong, AT_US).variant is None, wrong
    other_id = EdgeExperiment(msgspec.structs.replace(draft.experiment, id=8), SECRET)
    other_secret = EdgeExperiment(draft.experiment, GROUP)
    for other in (other_id, other_secret):
        assert VariantAssigner(other).assign_preview(token, AT_US).variant is None


def test_the_preview_token_is_taken_out_of_the_query() -> None:
    assert take_preview_token(b"a=1&wp_variant=x&b=2&wp_variant=y") == (b"x", b"a=1&b=2")
    assert take_preview_token(b"a=1") == (b"", b"a=1")
    assert take_preview_token(b"xwp_variant=1") == (b"", b"xwp_variant=1")


def test_a_cookie_is_22_characters() -> None:
    assert len(new_cookie_value(bytes(16))) == 22
