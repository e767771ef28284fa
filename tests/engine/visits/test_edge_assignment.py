"""What an edge makes of an experiment is what the rules say, and previews are for who has a token."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks.record_items import PLACE, VariantRef, item, unpack_variant_refs
from engine.experiments.assignment import AssignmentContext, assign, hash_key
from engine.experiments.experiment import EdgeExperiment, Experiment, Namespace, Targeting, Variant
from engine.visits import edge_assignment as trial_module
from engine.visits.edge_assignment import (
    AssignedVariant,
    VariantAssigner,
    country_of,
    device_of,
    is_cookie,
    language_of,
    new_cookie_value,
    preview_token,
    take_preview_token,
    visitor_identity,
)
from engine.visits.place import pack_place
from engine.visits.request import ClientInfo, VisitRequest

PHONE = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
DESK = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
SECRET, GROUP = bytes(range(32)), bytes(range(32, 64))
AT_US = 1_780_000_000_000_000


def edge(**changes: Any) -> EdgeExperiment:
    variants = tuple(
        Variant(name=name, weight=0.25, target=f"https://{name}.example/") for name in "abcd"
    )
    fields = {"name": "x", "kind": "destination", "variants": variants, "link_id": 1}
    made = Experiment(**fields | {"id": 7, "seed": "s", "state": "running"} | changes)
    return EdgeExperiment(made, SECRET, GROUP)


def visit(agent: bytes = DESK, language: bytes = b"de-AT,en", **more: Any) -> VisitRequest:
    return VisitRequest(b"/x", b"", agent, b"", language, False, True, **more)


def origin(number: int, country: str = "IT") -> ClientInfo:
    return ClientInfo(b"\x04" + number.to_bytes(4, "big"), item(PLACE, pack_place("", country)))


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
    agent=st.sampled_from([PHONE, DESK, b""]),
    cookie=st.sampled_from([b"", new_cookie_value(bytes(16)), new_cookie_value(bytes(range(16)))]),
)
@settings(max_examples=400, deadline=None)
def test_an_edge_does_what_the_rules_say(
    state: Any, coverage: float, group: Namespace | None, countries: Any, devices: Any,
    languages: Any, starts: int | None, ends: int | None, human: bool, number: int, agent: bytes,
    cookie: bytes,
) -> None:  # fmt: skip
    targeting = Targeting(countries=countries, devices=devices, languages=languages)
    made = edge(
        state=state, coverage=coverage, namespace=group, targeting=targeting, starts_at_ms=starts,
        ends_at_ms=ends, cookie=bool(cookie), winner=2 if state == "decided" else None, phase=3,
    )  # fmt: skip
    request, where = visit(agent), origin(number)
    found = VariantAssigner(made).assign(request, where, human, AT_US, cookie)
    who = cookie or visitor_identity(where, request)
    context = AssignmentContext(
        hash_key=hash_key(SECRET, who),
        at_ms=AT_US // 1000,
        namespace_key=hash_key(GROUP, who),
        country=country_of(where),
        device=device_of(request),
        language=language_of(request),
        bot=not human,
    )
    wanted = assign(made.experiment, context)
    if wanted.reason == "bot":
        assert found == AssignedVariant(0)
        return
    assert found.variant == wanted.variant
    assert list(unpack_variant_refs(found.packed_exposure)) == (
        [VariantRef(7, 3, found.variant or 0)] if wanted.exposed else []
    )


def test_who_it_is_does_not_depend_on_anything_else() -> None:
    trial = VariantAssigner(edge())
    seen = {
        trial.assign(visit(language=language, host=host), origin(9, country), True, at_us, b"")
        for language in (b"", b"de")
        for host in (b"", b"go.example")
        for country in ("IT", "FR")
        for at_us in (AT_US, AT_US + 86_400_000_000 * 40)
    }
    assert len(seen) == 1
    others = {trial.assign(visit(), origin(n), True, AT_US, b"").variant for n in range(40)}
    assert others == {0, 1, 2, 3}
    again = VariantAssigner(edge())  # of another edge, or after a restart
    for number in range(50):
        assert again.assign(visit(), origin(number), True, AT_US, b"") == trial.assign(
            visit(), origin(number), True, AT_US, b""
        )


def test_who_is_remembered_is_who_was_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "MAX_REMEMBERED_VISITORS", 10)
    one, other = VariantAssigner(edge()), VariantAssigner(edge(seed="t"))
    fresh = {}
    for number in range(40):
        for trial in (one, other):
            fresh[trial, number] = trial.assign(visit(), origin(number), True, AT_US, b"")
    for (trial, number), found in fresh.items():
        assert trial.assign(visit(), origin(number), True, AT_US, b"") == found
        assert trial.assign(visit(), origin(number), True, AT_US, b"") is found
        assert len(trial_module._seen) <= 10
    assert [fresh[one, n].variant for n in range(40)] != [
        fresh[other, n].variant for n in range(40)
    ]


def test_a_preview_is_for_one_experiment_variant_and_time() -> None:
    made = edge(state="draft")
    trial, until_s = VariantAssigner(made), AT_US // 1_000_000 + 60
    token = preview_token(made, 2, until_s).encode()
    assert trial.assign_preview(token, AT_US) == AssignedVariant(2)
    assert trial.assign_preview(token, AT_US + 60_000_000).variant is None
    for wrong in (
        token[:-1] + (b"A" if token[-1:] != b"A" else b"B"),
        token.replace(b"-2-", b"-1-", 1),
        token.replace(str(until_s).encode(), str(until_s + 9).encode()),
        b"",
        b"b",
        token + b"x",
    ):
        assert trial.assign_preview(wrong, AT_US).variant is None, wrong
    other = msgspec.structs.replace(made.experiment, id=8)
    assert (
        VariantAssigner(EdgeExperiment(other, SECRET)).assign_preview(token, AT_US).variant is None
    )
    assert (
        VariantAssigner(EdgeExperiment(made.experiment, GROUP)).assign_preview(token, AT_US).variant
        is None
    )


def test_the_token_is_taken_out_of_the_query() -> None:
    assert take_preview_token(b"a=1&wp_variant=x&b=2&wp_variant=y") == (b"x", b"a=1&b=2")
    assert take_preview_token(b"a=1") == (b"", b"a=1")
    assert take_preview_token(b"xwp_variant=1") == (b"", b"xwp_variant=1")


def test_a_cookie_is_22_characters() -> None:
    assert is_cookie(new_cookie_value(bytes(16)))
    assert not is_cookie(b"x")
