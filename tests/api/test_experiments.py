"""`/v1/…/experiments`: what is refused and why, states, and what visitors get of it."""

from typing import Any

import pytest

from tests.api.consoles import Answered, Console

A = {"name": "a", "weight": 1, "target": "https://a.example"}
B = {"name": "b", "weight": 1, "target": "https://b.example"}


class Lab:
    """A console with a profile and one link."""

    def __init__(self, console: Console, profile: str, link: str) -> None:
        self.console = console
        self.profile = profile
        self.link = link

    @classmethod
    async def open(cls) -> "Lab":
        console = Console()
        profile = (await console.profile())["id"]
        return cls(console, profile, (await console.link(profile))["id"])

    def body(self, **changes: Any) -> dict[str, Any]:
        fields = {"name": "Spring", "kind": "destination", "link_id": self.link}
        return {**fields, "variants": [A, B], **changes}

    async def create(self, **changes: Any) -> Answered:
        path = f"/v1/profiles/{self.profile}/experiments"
        return await self.console.call("POST", path, self.body(**changes))

    async def made(self, **changes: Any) -> str:
        answered = await self.create(**changes)
        assert answered.status == 201, answered.body
        found: str = answered.json["id"]
        return found

    async def step(self, id_: str, what: str, body: Any = None, **headers: str) -> Answered:
        return await self.console.call("POST", f"/v1/experiments/{id_}/{what}", body, **headers)


async def test_an_experiment_is_shown_as_it_was_made() -> None:
    lab = await Lab.open()
    made = await lab.create(
        starts_at="2026-05-01T12:00:00+02:00",
        targeting={"countries": ["IT"]},
        namespace={"id": "prices", "low": 0, "high": 0.5},
        analysis={"margin": 0.01, "act": "promote"},
    )
    assert made.status == 201
    shown = made.json
    assert made.headers["Location"] == f"/v1/experiments/{shown['id']}"
    assert (shown["state"], shown["phase"], shown["winner"]) == ("draft", 1, None)
    assert [v["weight"] for v in shown["variants"]] == [0.5, 0.5]
    assert shown["variants"][0]["target"] == "https://a.example/"
    assert shown["starts_at"] == "2026-05-01T10:00:00Z"
    assert (shown["analysis"]["act"], shown["analysis"]["alpha"]) == ("promote", 0.05)
    read = await lab.console.call("GET", f"/v1/experiments/{shown['id']}")
    assert (read.json, read.headers["ETag"]) == (shown, made.headers["ETag"])
    listed = await lab.console.call("GET", f"/v1/profiles/{lab.profile}/experiments")
    assert listed.json == {"items": [shown], "next_cursor": None}
    assert b"secret" not in made.body
    assert b"seed" not in made.body


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"variants": [A]}, {"variants"}),
        ({"variants": [A, {**B, "weight": -1}]}, {"variants"}),
        ({"variants": [A, {**B, "name": "a"}]}, {"variants.1.name"}),
        ({"variants": [A, {**B, "target": "javascript:1"}]}, {"variants.1.target"}),
        ({"variants": [A, {**B, "position": 1}]}, {"variants.1"}),
        ({"variants": "both"}, {"variants"}),
        ({"link_id": "1"}, {"link_id"}),
        ({"link_id": 1}, {"link_id"}),
        ({"link_id": None}, {"link_id"}),
        ({"kind": "colour"}, {"kind"}),
        ({"coverage": 1.5, "name": ""}, {"coverage", "name"}),
        ({"namespace": {"id": "n", "low": 0.5, "high": 0.5}}, {"namespace"}),
        ({"starts_at": "2026-05-01T00:00:00"}, {"starts_at"}),
        ({"starts_at": "2026-05-01T00:00:00Z", "ends_at": "2026-04-01T00:00:00Z"}, {"ends_at"}),
        ({"targeting": {"countries": ["Italy"]}}, {"targeting.countries"}),
        ({"targeting": {"planets": ["Mars"]}}, {"targeting"}),
        ({"attribution_hours": 0}, {"attribution_hours"}),
        ({"analysis": {"alpha": 0, "margin": -1}}, {"analysis.alpha", "analysis.margin"}),
        ({"analysis": {"bandit": {"floor": 0.6}, "act": "stop"}},
         {"analysis.bandit", "analysis.bandit.floor"}),
        ({"analysis": {"horizon": {"visitors": 0}, "act": "stop"}},
         {"analysis.horizon", "analysis.horizon.visitors"}),
        ({"winner": "a"}, {"winner"}),
    ],
)  # fmt: skip
async def test_what_breaks_rules_is_named(changes: dict[str, Any], fields: set[str]) -> None:
    lab = await Lab.open()
    assert (await lab.create(**changes)).problem(422).keys() == fields


async def test_two_may_not_have_the_same_part_of_a_namespace() -> None:
    lab = await Lab.open()
    await lab.made(namespace={"id": "n", "low": 0, "high": 0.5})
    refused = await lab.create(namespace={"id": "n", "low": 0.4, "high": 1})
    assert "overlaps with 0 to 0.5" in refused.problem(422)["namespace"]


async def test_a_start_wants_targets_and_a_decision_a_start() -> None:
    lab = await Lab.open()
    id_ = await lab.made(variants=[A, {"name": "b", "weight": 1}])
    assert "before the start" in (await lab.step(id_, "start")).problem(422)["variants.1.target"]
    refused = await lab.step(id_, "decide", {"winner": "a"})
    assert "is draft" in refused.problem(409)["state"]
    patched = await lab.console.call(
        "PATCH", f"/v1/experiments/{id_}", {"variants": [A, B]}, If_Match='"1"'
    )
    assert patched.status == 200, patched.body
    started = await lab.step(id_, "start")
    assert (started.json["state"], started.headers["ETag"]) == ("running", '"3"')
    assert started.json["started_at"] is not None
    assert lab.console.announcer.changes[-1].profile_id == int(lab.profile)
    (await lab.step(id_, "start")).problem(409)
    (await lab.step(id_, "pause", If_Match='"1"')).problem(412)
    assert "one of a, b" in (await lab.step(id_, "decide", {"winner": "z"})).problem(422)["winner"]
    (await lab.step(id_, "decide", {})).problem(422)
    decided = await lab.step(id_, "decide", {"winner": "b"})
    assert (decided.json["state"], decided.json["winner"]) == ("decided", "b")
    archived = await lab.step(id_, "archive")
    assert (archived.json["state"], archived.json["winner"]) == ("archived", "b")
    assert (await lab.console.call("DELETE", f"/v1/experiments/{id_}")).status == 204
    (await lab.console.call("GET", f"/v1/experiments/{id_}")).problem(404)


async def test_after_the_start_some_things_stay() -> None:
    lab = await Lab.open()
    id_ = await lab.made()
    path = f"/v1/experiments/{id_}"
    await lab.step(id_, "start")
    (await lab.console.call("DELETE", path)).problem(409)
    for change in ({"analysis": {"alpha": 0.1}}, {"kind": "page", "variants": [
        {"name": "a", "weight": 1}, {"name": "b", "weight": 1, "title": "B"}]}):  # fmt: skip
        (await lab.console.call("PATCH", path, change)).problem(409)
    covered = await lab.console.call("PATCH", path, {"coverage": 0.5})
    assert (covered.json["coverage"], covered.json["phase"]) == (0.5, 1)
    weighed = await lab.console.call(
        "PATCH", path, {"variants": [{**A, "weight": 0.9}, {**B, "weight": 0.1}]}
    )
    assert weighed.json["phase"] == 2


async def test_others_see_nothing_of_it() -> None:
    lab = await Lab.open()
    id_ = await lab.made()
    for method, path, body in (
        ("GET", f"/v1/experiments/{id_}", None),
        ("PATCH", f"/v1/experiments/{id_}", {"coverage": 0.5}),
        ("DELETE", f"/v1/experiments/{id_}", None),
        ("POST", f"/v1/experiments/{id_}/start", None),
        ("GET", f"/v1/profiles/{lab.profile}/experiments", None),
        ("POST", f"/v1/profiles/{lab.profile}/experiments", lab.body()),
        ("GET", "/v1/experiments/0", None),
    ):
        (await lab.console.call(method, path, body, key="two")).problem(404)


async def test_a_create_sent_again_creates_once() -> None:
    lab = await Lab.open()
    path = f"/v1/profiles/{lab.profile}/experiments"
    first, again = [
        await lab.console.call("POST", path, lab.body(), Idempotency_Key="x") for _ in range(2)
    ]
    assert first.body == again.body
    listed = await lab.console.call("GET", path)
    assert len(listed.json["items"]) == 1
