"""Conversions reported through the API, from a page and by a hook."""

from datetime import timedelta
from typing import Any

import pytest

from api.experiments.conversion_ingest import HOOK_LOOKUPS, SCRIPT, SCRIPT_BYTES
from engine.clicks.click_id import ClickId, ClickIdCipher
from tests.api.experiments.test_experiments import Lab, counted, results, started
from tests.kit.consoles import CLICK_IDS, NOW, Answered, Console

CIPHER = ClickIdCipher(CLICK_IDS)
HOUR_US = 3_600_000_000
AT_US = round(NOW.timestamp() * 1e6)


class Shop:
    """A profile with a running experiment, and ids of clicks on its link."""

    def __init__(self, lab: Lab, experiment: str) -> None:
        self.lab = lab
        self.console = lab.console
        self.experiment = experiment

    @classmethod
    async def open(cls) -> "Shop":
        lab = await Lab.open()
        return cls(lab, await started(lab))

    def click(
        self, visitor: int = 1, variant: int = 0, hours_ago: float = 1, **changes: Any
    ) -> str:
        click_id = ClickId(
            1, int(self.lab.profile), int(self.lab.link), AT_US - round(hours_ago * HOUR_US),
            int(self.experiment), 1, variant, False, visitor.to_bytes(8, "big"),
        )  # fmt: skip
        return CIPHER.seal(click_id._replace(**changes)).decode()

    async def report(self, body: Any, key: str = "one") -> Answered:
        return await self.console.call("POST", "/v1/conversions", body, key=key)


async def test_a_conversion_is_recorded_once() -> None:
    shop = await Shop.open()
    await counted(shop.lab, shop.experiment, (1, 0), (1, 0))
    body = {
        "click_id": shop.click(),
        "name": "sale",
        "order_id": "7",
        "value": 49.9,
        "currency": "EUR",
    }
    first, again = await shop.report(body), await shop.report(body | {"value": "1"})
    assert (first.status, first.json) == (201, {"attribution": "attributed", "duplicate": False})
    assert (again.status, again.json["duplicate"]) == (200, True)
    (recorded, *_) = shop.console.conversions.conversions.values()
    assert (str(recorded[0].draft.value), recorded[1]) == ("49.9", "api")
    result = await results(shop.lab, shop.experiment)
    assert [v["converted"] for v in result["variants"]] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"click_id": "x"}, {"click_id"}),
        ({"click_id": None}, {"click_id"}),
        ({"name": ""}, {"name"}),
        ({"order_id": "x" * 129}, {"order_id"}),
        ({"value": -1, "currency": "EUR"}, {"value"}),
        ({"value": "1.00001", "currency": "EUR"}, {"value"}),
        ({"value": 1e12, "currency": "EUR"}, {"value"}),
        ({"value": "NaN", "currency": "EUR"}, {"value"}),
        ({"value": 1}, {"currency"}),
        ({"currency": "EUR"}, {"currency"}),
        ({"value": 1, "currency": "euro"}, {"currency"}),
        ({"value": 1, "currency": "ßa"}, {"currency"}),
        ({"at": "2026-03-15T10:00:00"}, {"at"}),
        ({"at": "2026-03-15T11:00:00Z"}, {"at"}),
        ({"at": "2026-03-15T08:00:00Z"}, {"at"}),
        ({"colour": 1}, {"colour"}),
    ],
)
async def test_bad_fields_are_named(changes: dict[str, Any], fields: set[str]) -> None:
    shop = await Shop.open()
    body = {"click_id": shop.click()} | changes
    assert (await shop.report(body)).problem(422).keys() == fields


async def test_late_and_unexposed_conversions_are_kept_and_reported_as_such() -> None:
    shop = await Shop.open()
    late = {"click_id": shop.click(hours_ago=169)}
    late_with_time = late | {"at": (NOW - timedelta(hours=2)).isoformat()}
    unexposed = {"click_id": shop.click(experiment_id=0)}
    for body, attribution in ((late, "expired"), (unexposed, "unexposed")):
        assert (await shop.report(body)).json["attribution"] == attribution
    assert (await shop.report(late_with_time | {"order_id": "2"})).json[
        "attribution"
    ] == "attributed"


async def test_conversions_are_listed_newest_first() -> None:
    shop = await Shop.open()
    for number, click_id in enumerate((shop.click(), shop.click(experiment_id=0)), 1):
        body = {"click_id": click_id, "order_id": str(number), "value": number, "currency": "EUR"}
        await shop.report(body)
    path = f"/v1/profiles/{shop.lab.profile}/conversions"
    first = (await shop.console.call("GET", path + "?limit=1")).json
    rest = (await shop.console.call("GET", f"{path}?cursor={first['next_cursor']}")).json
    (newest,), (oldest,) = first["items"], rest["items"]
    assert (newest["order_id"], newest["attribution"]) == ("2", "unexposed")
    assert (newest["experiment_id"], newest["variant"], newest["value"]) == (None, None, "2")
    assert (oldest["order_id"], oldest["attribution"]) == ("1", "attributed")
    assert (oldest["experiment_id"], oldest["phase"]) == (shop.experiment, 1)
    assert rest["next_cursor"] is None
    (await shop.console.call("GET", path, key="two")).problem(404)


async def test_a_bad_conversion_of_many_stops_no_other() -> None:
    shop = await Shop.open()
    good = [{"click_id": shop.click(n, n % 2), "name": "sale"} for n in range(1, 400)]
    bad = [{"click_id": "x"}, "sale", {"click_id": shop.click(profile_id=5)}]
    response = await shop.report({"conversions": [*good, good[0], *bad]})
    results = response.json["results"]
    assert [result["index"] for result in results] == list(range(403))
    assert {result["status"] for result in results[:399]} == {201}
    assert [result["status"] for result in results[399:]] == [200, 422, 422, 404]
    assert results[400]["errors"][0]["field"] == "click_id"
    await counted(shop.lab, shop.experiment, (0, 0), (0, 0))
    wrong: Any
    for wrong in ([], [good[0]] * 1001, "all", {}):
        (await shop.report({"conversions": wrong})).problem(422)
    (await shop.report({"conversions": good[:1], "name": "x"})).problem(422)


async def test_clicks_of_another_tenant_do_not_exist() -> None:
    shop = await Shop.open()
    body = {"click_id": shop.click()}
    (await shop.report(body, key="two")).problem(404)
    many = await shop.report({"conversions": [body]}, key="two")
    assert many.json["results"][0]["status"] == 404


async def test_a_page_reports_by_its_script() -> None:
    shop = await Shop.open()
    script = await shop.console.call("GET", "/wp.js", key="")
    assert len(script.body) < SCRIPT_BYTES
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    body = b'{"click_id": "%s", "name": "sign-up"}' % shop.click().encode()

    async def collect(data: bytes) -> Answered:
        return await shop.console.call("POST", "/collect", data, key="", Content_Type="text/plain")

    response = await collect(body)
    assert (response.status, response.json["attribution"]) == (200, "attributed")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert (await collect(body)).json["duplicate"] is True
    (await collect(b"{")).problem(400)
    (await collect(b"[]")).problem(422)
    (await collect(b'{"click_id": "x"}')).problem(422)
    (await collect(b" " * 5000)).problem(413)
    gone = shop.click(profile_id=9).encode()
    (await collect(body.replace(shop.click().encode(), gone))).problem(404)


async def test_an_address_has_a_limit_of_reports_by_the_script(autojump_clock: object) -> None:
    shop = await Shop.open()
    for _ in range(SCRIPT.burst):
        response = await shop.console.call("POST", "/collect", b"{}", key="")
        response.problem(422)
    limited = await shop.console.call("POST", "/collect", b"{}", key="")
    limited.problem(429)
    assert int(limited.headers["Retry-After"]) >= 1


async def test_a_shop_reports_by_its_hook() -> None:
    shop = await Shop.open()
    path = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
    fields = {"click_id": "note_attributes.0.value", "order_id": "id", "value": "total",
              "currency": "currency"}  # fmt: skip
    created = await shop.console.call("POST", path, {"label": "Shop", "fields": fields})
    assert created.status == 201
    hook = created.json
    url = hook.pop("url")
    assert (await shop.console.call("GET", path)).json["items"] == [hook]
    hook_path = "/in/" + url.rpartition("/")[2]
    order = {"id": 1001, "total": "49.90", "currency": "EUR", "note_attributes": [
        {"name": "wp_click", "value": shop.click()}]}  # fmt: skip

    async def post_order(body: Any) -> Answered:
        return await shop.console.call("POST", hook_path, body, key="")

    assert (await post_order(order)).status == 201
    assert (await post_order(order)).json == {"attribution": "attributed", "duplicate": True}
    ((conversion, source, _),) = shop.console.conversions.conversions.values()
    draft = conversion.draft
    assert (draft.name, draft.order_id, str(draft.value), source) == (
        "sale",
        "1001",
        "49.90",
        "hook",
    )
    assert (
        await post_order({"id": 2} | {"note_attributes": order["note_attributes"]})
    ).status == 201
    assert (await post_order({"id": 1001, "total": "x", "currency": "EUR"})).problem(
        422
    ).keys() == {"value"}
    (await shop.console.call("POST", "/in/wph_guessed", order, key="")).problem(404)
    (await shop.console.call("DELETE", f"{path}/{hook['id']}", key="two")).problem(404)
    assert (await shop.console.call("DELETE", f"{path}/{hook['id']}")).status == 204
    (await post_order(order)).problem(404)


async def test_guessing_tokens_costs_no_lookups_and_no_shop_its_hook(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    shop = await Shop.open()
    lookups: list[str] = []
    fields = {"click_id": "click", "order_id": "order"}
    hook_of = shop.console.conversion_hooks.hook_of

    async def counted(token: str) -> Any:
        lookups.append(token)
        return await hook_of(token)

    monkeypatch.setattr(shop.console.conversion_hooks, "hook_of", counted)
    path = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
    body = {"label": "The shop", "fields": fields}
    url = (await shop.console.call("POST", path, body)).json["url"]
    hook_path = "/in/" + url.rpartition("/")[2]
    sale = {"click": "no click"}
    assert (await shop.console.call("POST", hook_path, sale, key="")).status == 201
    guesses = [
        (await shop.console.call("POST", f"/in/wph_{n}", {}, key="")).status for n in range(400)
    ]
    assert (guesses.count(404), guesses.count(429)) == (HOOK_LOOKUPS.units - 1, 101)
    assert len(lookups) == HOOK_LOOKUPS.units
    assert (await shop.console.call("POST", hook_path, sale, key="")).status == 200


async def test_bad_fields_of_a_hook_are_named() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/conversion-hooks"
    for body, fields in (
        ({}, {"label"}),
        ({"label": "x", "name": ""}, {"name"}),
        ({"label": "x", "fields": {"click_id": ""}}, {"fields.click_id"}),
        ({"label": "x", "fields": {"price": "p"}}, {"fields"}),
        ({"label": "x", "fields": {"value": "a\0b"}}, {"fields.value"}),
        ({"label": "x", "shop": "etsy"}, {"shop"}),
        ({"label": "x", "value_factor": 0}, {"value_factor"}),
        ({"label": "x", "secrets": ["long enough"]}, {"secrets"}),
        ({"label": "x", "shop": "gumroad", "secrets": ["long enough"]}, {"secrets"}),
        ({"label": "x", "shop": "stripe", "secrets": ["short"]}, {"secrets"}),
        ({"label": "x", "shop": "stripe", "secrets": ["sécret sécret"]}, {"secrets"}),
        ({"label": "x", "shop": "stripe", "secrets": ["long enough"] * 4}, {"secrets"}),
    ):
        assert (await console.call("POST", path, body)).problem(422).keys() == fields


async def test_a_path_of_a_hook_may_lead_nowhere() -> None:
    shop = await Shop.open()
    path = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
    for place in ("notes.²", "notes.٣", "notes.99", "notes.-1", "notes..", "notes.0.x.y"):
        body = {"label": "Shop", "fields": {"click_id": place}}
        hook_path = (
            "/in/" + (await shop.console.call("POST", path, body)).json["url"].rpartition("/")[2]
        )
        response = await shop.console.call("POST", hook_path, {"notes": [1, {"x": None}]}, key="")
        assert response.json["attribution"] == "unattributed"
