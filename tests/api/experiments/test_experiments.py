"""`/v1/…/experiments`: validation, states, results, explanations and previews."""

import csv
import io
from typing import Any

import pytest

from engine.accounts.access import Caller
from engine.clicks.click import Click
from engine.clicks.record_items import EXPOSURES, OUTCOMES, VariantRef, pack_variant_refs
from engine.experiments.increments import ExperimentCounter
from engine.links.targets.blocklist import NO_BLOCKLIST, Blocklist
from engine.visits.edge_assignment import VariantAssigner
from tests.kit.consoles import NOW, VISITORS, Answered, Console

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

    async def created_id(self, **changes: Any) -> str:
        response = await self.create(**changes)
        assert response.status == 201, response.body
        id_: str = response.json["id"]
        return id_

    async def step(self, id_: str, action: str, body: Any = None, **headers: str) -> Answered:
        return await self.console.call("POST", f"/v1/experiments/{id_}/{action}", body, **headers)


async def test_targets_of_variants_are_checked_as_those_of_links_are() -> None:
    lab = await Lab.open()
    lab.console.blocklist = Blocklist(frozenset({"b.example"}))
    problem = (await lab.create()).problem(422)
    assert problem.keys() == {"variants.1.target"}
    assert "blocklist" in problem["variants.1.target"]
    for bad in (f"{VISITORS}/spring", "javascript:x", "mailto:a@b.example"):
        refused = await lab.create(variants=[A | {"target": bad}, A | {"name": "b"}])
        assert refused.problem(422).keys() == {"variants.0.target"}, bad
    lab.console.blocklist = NO_BLOCKLIST
    path = f"/v1/experiments/{await lab.created_id()}"
    lab.console.blocklist = Blocklist(frozenset({"b.example"}))
    assert (await lab.console.call("PATCH", path, {"name": "Kept"})).status == 200
    refused = await lab.console.call(
        "PATCH", path, {"variants": [A, B | {"target": "https://b.example/x"}]}
    )
    assert refused.problem(422).keys() == {"variants.1.target"}


async def test_an_experiment_is_created_read_and_listed() -> None:
    lab = await Lab.open()
    response = await lab.create(
        starts_at="2026-05-01T12:00:00+02:00",
        targeting={"countries": ["IT"]},
        namespace={"id": "prices", "low": 0, "high": 0.5},
        analysis={"margin": 0.01, "on_decision": "promote"},
    )
    assert response.status == 201
    created = response.json
    assert response.headers["Location"] == f"/v1/experiments/{created['id']}"
    assert (created["state"], created["phase"], created["winner"]) == ("draft", 1, None)
    assert [v["weight"] for v in created["variants"]] == [0.5, 0.5]
    assert created["variants"][0]["target"] == "https://a.example/"
    assert created["starts_at"] == "2026-05-01T10:00:00Z"
    assert (created["analysis"]["on_decision"], created["analysis"]["alpha"]) == ("promote", 0.05)
    read = await lab.console.call("GET", f"/v1/experiments/{created['id']}")
    assert (read.json, read.headers["ETag"]) == (created, response.headers["ETag"])
    listed = await lab.console.call("GET", f"/v1/profiles/{lab.profile}/experiments")
    assert listed.json == {"items": [created], "next_cursor": None}
    assert b"secret" not in response.body
    assert b"seed" not in response.body


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
        ({"ends_at": "9999-12-31T23:59:59-01:00"}, {"ends_at"}),
        ({"starts_at": "0001-01-01T00:00:00+01:00", "ends_at": "9999-12-31T23:59:59.9999Z"},
         {"starts_at", "ends_at"}),
        ({"starts_at": "2026-05-01T00:00:00Z", "ends_at": "2026-04-01T00:00:00Z"}, {"ends_at"}),
        ({"targeting": {"countries": ["Italy"]}}, {"targeting.countries"}),
        ({"targeting": {"planets": ["Mars"]}}, {"targeting"}),
        ({"attribution_hours": 0}, {"attribution_hours"}),
        ({"analysis": {"alpha": 0, "margin": -1}}, {"analysis.alpha", "analysis.margin"}),
        ({"analysis": {"bandit": {"floor": 0.6}, "on_decision": "stop"}},
         {"analysis.bandit", "analysis.bandit.floor"}),
        ({"analysis": {"horizon": {"visitors": 0}, "on_decision": "stop"}},
         {"analysis.horizon", "analysis.horizon.visitors"}),
        ({"winner": "a"}, {"winner"}),
    ],
)  # fmt: skip
async def test_bad_fields_are_named(changes: dict[str, Any], fields: set[str]) -> None:
    lab = await Lab.open()
    assert (await lab.create(**changes)).problem(422).keys() == fields


async def test_two_experiments_cannot_have_the_same_part_of_a_namespace() -> None:
    lab = await Lab.open()
    await lab.created_id(namespace={"id": "n", "low": 0, "high": 0.5})
    refused = await lab.create(namespace={"id": "n", "low": 0.4, "high": 1})
    assert "overlap with 0 to 0.5" in refused.problem(422)["namespace"]


async def test_a_start_needs_targets_and_a_decision_needs_a_start() -> None:
    lab = await Lab.open()
    id_ = await lab.created_id(variants=[A, {"name": "b", "weight": 1}])
    assert "before the start" in (await lab.step(id_, "start")).problem(422)["variants.1.target"]
    refused = await lab.step(id_, "decide", {"winner": "a"})
    assert "draft may become" in refused.problem(409)["state"]
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


async def test_after_the_start_kind_and_analysis_cannot_change() -> None:
    lab = await Lab.open()
    id_ = await lab.created_id()
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


async def test_experiments_of_another_tenant_do_not_exist() -> None:
    lab = await Lab.open()
    id_ = await lab.created_id()
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


# ---- results -----------------------------------------------------------------------------------------


async def counted(lab: Lab, id_: str, *counts: tuple[int, int], per: int = 1) -> None:
    """Count (visitors, converted of them) for each variant, at NOW, with `per` exposures a visitor."""
    counter = ExperimentCounter()
    at_us = round(NOW.timestamp() * 1e6)
    for variant, (visitors, converted) in enumerate(counts):
        data = pack_variant_refs([VariantRef(int(id_), 1, variant)])
        for number in range(visitors):
            visitor_id = (variant * 1_000_000 + number + 1).to_bytes(8, "big")
            click = Click(1, 0, at_us, 1, 1, 1, b"", b"", b"", visitor_id)
            items = {EXPOSURES: data} | ({OUTCOMES: data} if number < converted else {})
            for _ in range(per):
                counter.add(click, items)
    lab.console.counts.store(counter.increments())


async def started(lab: Lab, **changes: Any) -> str:
    id_ = await lab.created_id(**changes)
    assert (await lab.step(id_, "start")).status == 200
    return id_


async def results(lab: Lab, id_: str, query: str = "") -> dict[str, Any]:
    response = await lab.console.call("GET", f"/v1/experiments/{id_}/results{query}")
    assert response.status == 200, response.body
    body: dict[str, Any] = response.json
    return body


async def test_results_count_visitors_and_compare_with_the_control() -> None:
    lab = await Lab.open()
    id_ = await started(lab, analysis={"margin": 0.001})
    await counted(lab, id_, (4000, 120), (4000, 240), per=3)
    result = await results(lab, id_)
    control, treatment = result["variants"]
    assert (control["exposures"], control["visitors"], control["converted"]) == (12_000, 4000, 120)
    assert (control["absolute"], control["decision"]) == (None, None)
    assert treatment["rate"] == 0.06
    assert treatment["absolute"]["lift"] == pytest.approx(0.03)
    assert treatment["absolute"]["low"] > 0
    assert treatment["decision"] == "superior"
    assert treatment["chance_best"] > 0.999
    assert result["allocation"]["mismatch"] is False
    assert result["warnings"] == []
    assert "every look" in result["inference"]
    (phase,) = result["phases"]
    assert [v["converted"] for v in phase["variants"]] == [120, 240]
    text = (await lab.console.call("GET", f"/v1/experiments/{id_}/results.csv")).body.decode()
    head, first, second, end = text.split("\r\n")
    assert (head.split(",")[:3], end) == (["phase", "variant", "weight"], "")
    assert first.startswith("1,a,0.5,12000,4000,0,360,120,0.03,")
    assert second.endswith(",superior")


async def test_a_variant_s_name_is_no_formula_in_a_spreadsheet() -> None:
    lab = await Lab.open()
    id_ = await started(lab, variants=[{**A, "name": "=1+1"}, B])
    text = (await lab.console.call("GET", f"/v1/experiments/{id_}/results.csv")).body
    assert b"1,'=1+1,0.5" in text


async def test_a_negative_lift_is_a_number_in_a_spreadsheet() -> None:
    lab = await Lab.open()
    id_ = await started(lab)
    await counted(lab, id_, (500, 60), (500, 20))
    text = (await lab.console.call("GET", f"/v1/experiments/{id_}/results.csv")).body.decode()
    _, treatment = csv.DictReader(io.StringIO(text))
    assert float(treatment["lift_low"]) < float(treatment["lift"]) == pytest.approx(-0.08)


async def test_doubtful_results_have_warnings() -> None:
    lab = await Lab.open()
    id_ = await started(lab)
    assert "No visitor has been exposed yet." in (await results(lab, id_))["warnings"]
    await counted(lab, id_, (3000, 0), (2000, 0))
    result = await results(lab, id_)
    assert result["allocation"]["mismatch"] is True
    assert "isitors are not shared out" in result["warnings"][0]
    assert any("No conversion" in text for text in result["warnings"])
    patch = {"variants": [{**A, "weight": 0.9}, {**B, "weight": 0.1}]}
    await lab.console.call("PATCH", f"/v1/experiments/{id_}", patch)
    result = await results(lab, id_)
    assert (result["phase"], result["variants"][0]["visitors"]) == (2, 0)
    assert any("assigned anew" in text for text in result["warnings"])
    assert (await results(lab, id_, "?phase=1"))["variants"][0]["visitors"] == 3000
    (await lab.console.call("GET", f"/v1/experiments/{id_}/results?phase=7")).problem(404)
    (await lab.console.call("GET", f"/v1/experiments/{id_}/results?phase=x")).problem(422)


async def test_a_fixed_horizon_is_locked_until_its_size() -> None:
    lab = await Lab.open()
    id_ = await started(lab, analysis={"horizon": {"visitors": 500}})
    await counted(lab, id_, (499, 20), (600, 60))
    result = await results(lab, id_)
    assert result["horizon"] == {"visitors": 499, "planned": 500, "locked": True}
    for variant in result["variants"]:
        assert {variant[name] for name in ("rate", "converted", "outcomes", "chance_best")} == {
            None
        }
    assert result["phases"][0]["variants"][1]["converted"] is None
    series = await lab.console.call("GET", f"/v1/experiments/{id_}/series")
    assert series.json["points"] == []
    await counted(lab, id_, (500, 20), (600, 60))
    result = await results(lab, id_)
    assert result["horizon"]["locked"] is False
    assert result["variants"][1]["absolute"]["p_value"] < 0.05
    assert "one look" in result["inference"]


async def test_a_bandit_has_no_p_value_and_says_why() -> None:
    lab = await Lab.open()
    id_ = await started(lab, analysis={"bandit": {"floor": 0.1}})
    await counted(lab, id_, (500, 20), (500, 60))
    result = await results(lab, id_)
    assert result["variants"][1]["absolute"] is None
    assert result["variants"][1]["chance_best"] > 0.99
    assert "follow the counts" in result["inference"]


async def test_the_series_ends_where_the_results_are() -> None:
    lab = await Lab.open()
    id_ = await started(lab)
    await counted(lab, id_, (400, 40), (400, 80))
    series = (await lab.console.call("GET", f"/v1/experiments/{id_}/series?points=50")).json
    result = await results(lab, id_)
    assert series["variants"] == ["a", "b"]
    last = series["points"][-1]["variants"][1]
    assert (last["low"], last["high"]) == (
        result["variants"][1]["absolute"]["low"],
        result["variants"][1]["absolute"]["high"],
    )
    (await lab.console.call("GET", f"/v1/experiments/{id_}/series?points=1")).problem(422)


async def test_an_explanation_names_variant_and_reason() -> None:
    lab = await Lab.open()
    id_ = await started(lab, targeting={"countries": ["IT"]})
    path = f"/v1/experiments/{id_}/explain?address=203.0.113.7&user_agent=Firefox"
    explanation = (await lab.console.call("GET", path + "&country=IT")).json
    assert (explanation["reason"], explanation["exposed"]) == ("assigned", True)
    assert explanation["variant"] == ("a" if explanation["bucket"] < 0.5 else "b")
    assert explanation["sentence"].startswith(
        f"The visitor is in variant {explanation['variant']} by hash bucket"
    )
    again = await lab.console.call(
        "GET", f"/v1/experiments/{id_}/explain?key={explanation['key']}&country=IT"
    )
    assert again.json == explanation
    assert "not one of IT" in (await lab.console.call("GET", path)).json["sentence"]
    forced = (await lab.console.call("GET", path + "&variant=b")).json
    assert (forced["variant"], forced["reason"], forced["exposed"]) == ("b", "forced", False)
    for wrong in ("", "?address=here", "?key=a&address=::1", "?key=" + "x" * 600):
        (await lab.console.call("GET", f"/v1/experiments/{id_}/explain{wrong}")).problem(422)


async def test_a_preview_is_a_url_with_a_token() -> None:
    lab = await Lab.open()
    id_ = await lab.created_id()
    preview = (await lab.console.call("GET", f"/v1/experiments/{id_}/preview?variant=b")).json
    start = f"https://go.example/anna/spring?wp_variant={id_}-1-"
    assert preview["url"].startswith(start)
    assert preview["expires_at"] == "2026-03-16T10:07:00Z"
    edge = await lab.console.experiments.edge_experiment(Caller(1, 1), int(id_))
    token = preview["url"].partition("wp_variant=")[2].encode()
    assert VariantAssigner(edge).assign_preview(token, round(NOW.timestamp() * 1e6)).variant == 1
    (await lab.console.call("GET", f"/v1/experiments/{id_}/preview?variant=z")).problem(422)


async def test_a_plan_has_visitors_and_days() -> None:
    console = Console()
    path = "/v1/experiment-plan?rate=0.02&lift=0.2&visitors_per_day=1000&coverage=0.5"
    plan = (await console.call("GET", path)).json
    assert plan["sequential"]["visitors"] > plan["fixed"]["visitors"] > 40_000
    assert plan["fixed"]["days"] == plan["fixed"]["visitors"] / 500
    path = f"/v1/experiment-plan?rate=0.02&visitors={plan['fixed']['visitors']}"
    assert (await console.call("GET", path)).json["detectable_lift"] == pytest.approx(0.2, rel=1e-3)
    for wrong in ("rate=0.02", "rate=2&lift=0.1", "rate=x&lift=0.1", "rate=0.02&lift=0",
                  "lift=0.1", "rate=0.02&lift=0.1&visitors=5", "rate=0.02&lift=nan",
                  "rate=1e-300&lift=1e-9", "rate=0.02&lift=0.1&visitors_per_day=1&share_of_both=1e-320",
                  "rate=0.02&lift=0.1&visitors_per_day=1e-300&coverage=1e-300"):  # fmt: skip
        (await console.call("GET", f"/v1/experiment-plan?{wrong}")).problem(422)
