"""Conversions over the API, from a page and by a hook."""

from datetime import timedelta
from typing import Any

import pytest

from api.experiments.conversion_ingest import SCRIPT, SCRIPT_BYTES
from engine.clicks.click_id import ClickId, ClickIdCipher
from tests.api.experiments.test_experiments import Lab, counted, results, started
from tests.kit.consoles import CLICK_IDS, NOW, Answered, Console

SEAL = ClickIdCipher(CLICK_IDS)
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

    def click(self, visitor: int = 1, arm: int = 0, hours_ago: float = 1, **changes: Any) -> str:
        found = ClickId(
            1, int(self.lab.profile), int(self.lab.link), AT_US - round(hours_ago * HOUR_US),
            int(self.experiment), 1, arm, False, visitor.to_bytes(8, "big"),
        )  # fmt: skip
        return SEAL.seal(found._replace(**changes)).decode()

    async def tell(self, body: Any, key: str = "one") -> Answered:
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
    first, again = await shop.tell(body), await shop.tell(body | {"value": "1"})
    assert (first.status, first.json) == (201, {"attribution": "attributed", "duplicate": False})
    assert (again.status, again.json["duplicate"]) == (200, True)
    (told, *_) = shop.console.conversions.conversions.values()
    assert (str(told[0].draft.value), told[1]) == ("49.9", "api")
    found = await results(shop.lab, shop.experiment)
    assert [v["converted"] for v in found["variants"]] == [1, 0]


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
        ({"at": "2026-03-15T10:00:00"}, {"at"}),
        ({"at": "2026-03-15T11:00:00Z"}, {"at"}),
        ({"at": "2026-03-15T08:00:00Z"}, {"at"}),
        ({"colour": 1}, {"colour"}),
    ],
)
async def test_what_breaks_rules_is_named(changes: dict[str, Any], fields: set[str]) -> None:
    shop = await Shop.open()
    body = {"click_id": shop.click()} | changes
    assert (await shop.tell(body)).problem(422).keys() == fields


async def test_late_ones_and_those_of_nobody_are_kept_and_said() -> None:
    shop = await Shop.open()
    late = {"click_id": shop.click(hours_ago=169)}
    told_late = late | {"at": (NOW - timedelta(hours=2)).isoformat()}
    nobody = {"click_id": shop.click(experiment_id=0)}
    for body, attribution in ((late, "expired"), (nobody, "unexposed")):
        assert (await shop.tell(body)).json["attribution"] == attribution
    assert (await shop.tell(told_late | {"order_id": "2"})).json["attribution"] == "attributed"


async def test_what_was_told_is_listed_newest_first() -> None:
    shop = await Shop.open()
    for number, of in enumerate((shop.click(), shop.click(experiment_id=0)), 1):
        body = {"click_id": of, "order_id": str(number), "value": number, "currency": "EUR"}
        await shop.tell(body)
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


async def test_many_at_once_each_for_itself() -> None:
    shop = await Shop.open()
    good = [{"click_id": shop.click(n, n % 2), "name": "sale"} for n in range(1, 400)]
    bad = [{"click_id": "x"}, "sale", {"click_id": shop.click(profile_id=5)}]
    response = await shop.tell({"conversions": [*good, good[0], *bad]})
    found = response.json["results"]
    assert [one["index"] for one in found] == list(range(403))
    assert {one["status"] for one in found[:399]} == {201}
    assert [one["status"] for one in found[399:]] == [200, 422, 422, 404]
    assert found[400]["errors"][0]["field"] == "click_id"
    await counted(shop.lab, shop.experiment, (0, 0), (0, 0))
    wrong: Any
    for wrong in ([], [good[0]] * 1001, "all", {}):
        (await shop.tell({"conversions": wrong})).problem(422)
    (await shop.tell({"conversions": good[:1], "name": "x"})).problem(422)


async def test_others_have_no_such_click() -> None:
    shop = await Shop.open()
    body = {"click_id": shop.click()}
    (await shop.tell(body, key="two")).problem(404)
    many = await shop.tell({"conversions": [body]}, key="two")
    assert many.json["results"][0]["status"] == 404


async def test_a_page_tells_by_its_script() -> None:
    shop = await Shop.open()
    script = await shop.console.call("GET", "/wp.js", key="")
    assert len(script.body) < SCRIPT_BYTES
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    body = b'{"click_id": "%s", "name": "sign-up"}' % shop.click().encode()

    async def collect(data: bytes) -> Answered:
        return await shop.console.call("POST", "/collect", data, key="", Content_Type="text/plain")

    told = await collect(body)
    assert (told.status, told.json["attribution"]) == (200, "attributed")
    assert told.headers["Access-Control-Allow-Origin"] == "*"
    assert (await collect(body)).json["duplicate"] is True
    (await collect(b"{")).problem(400)
    (await collect(b"[]")).problem(422)
    (await collect(b'{"click_id": "x"}')).problem(422)
    (await collect(b" " * 5000)).problem(413)
    gone = shop.click(profile_id=9).encode()
    (await collect(body.replace(shop.click().encode(), gone))).problem(404)


async def test_a_page_tells_so_many_a_minute(autojump_clock: object) -> None:
    shop = await Shop.open()
    for _ in range(SCRIPT.burst):
        response = await shop.console.call("POST", "/collect", b"{}", key="")
        response.problem(422)
    limited = await shop.console.call("POST", "/collect", b"{}", key="")
    limited.problem(429)
    assert int(limited.headers["Retry-After"]) >= 1


async def test_a_shop_tells_by_its_hook() -> None:
    shop = await Shop.open()
    path = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
    fields = {"click_id": "note_attributes.0.value", "order_id": "id", "value": "total",
              "currency": "currency"}  # fmt: skip
    made = await shop.console.call("POST", path, {"label": "Shop", "fields": fields})
    assert made.status == 201
    shown = made.json
    url = shown.pop("url")
    assert (await shop.console.call("GET", path)).json["items"] == [shown]
    door = "/in/" + url.rpartition("/")[2]
    order = {"id": 1001, "total": "49.90", "currency": "EUR", "note_attributes": [
        {"name": "wp_click", "value": shop.click()}]}  # fmt: skip

    async def take(body: Any) -> Answered:
        return await shop.console.call("POST", door, body, key="")

    assert (await take(order)).status == 201
    assert (await take(order)).json == {"attribution": "attributed", "duplicate": True}
    ((told, source, _),) = shop.console.conversions.conversions.values()
    draft = told.draft
    assert (draft.name, draft.order_id, str(draft.value), source) == (
        "sale",
        "1001",
        "49.90",
        "hook",
    )
    assert (await take({"id": 2} | {"note_attributes": order["note_attributes"]})).status == 201
    assert "click_id" in (await take({"id": 3})).problem(422)
    foreign = [{"value": shop.click(profile_id=5)}]
    assert "another profile" in (await take({"note_attributes": foreign})).problem(422)["click_id"]
    (await shop.console.call("POST", "/in/wph_guessed", order, key="")).problem(404)
    (await shop.console.call("DELETE", f"{path}/{shown['id']}", key="two")).problem(404)
    assert (await shop.console.call("DELETE", f"{path}/{shown['id']}")).status == 204
    (await take(order)).problem(404)


async def test_a_hook_is_judged() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/conversion-hooks"
    for body, fields in (
        ({}, {"label"}),
        ({"label": "x", "name": ""}, {"name"}),
        ({"label": "x", "fields": {"click_id": ""}}, {"fields.click_id"}),
        ({"label": "x", "fields": {"price": "p"}}, {"fields"}),
        ({"label": "x", "fields": {"value": "a\0b"}}, {"fields.value"}),
    ):
        assert (await console.call("POST", path, body)).problem(422).keys() == fields


async def test_where_a_hook_s_fields_stand_may_be_nowhere() -> None:
    shop = await Shop.open()
    path = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
    for place in ("notes.²", "notes.٣", "notes.99", "notes.-1", "notes..", "notes.0.x.y"):
        body = {"label": "Shop", "fields": {"click_id": place}}
        door = "/in/" + (await shop.console.call("POST", path, body)).json["url"].rpartition("/")[2]
        taken = await shop.console.call("POST", door, {"notes": [1, {"x": None}]}, key="")
        assert "click_id" in taken.problem(422)
