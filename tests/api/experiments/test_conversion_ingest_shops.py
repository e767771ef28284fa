"""Hooks of shops: each fed with what its shop sends, signed as it signs, again, out of order and refunded."""

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from engine.experiments.refund import MAX_AT_ONCE, movements
from engine.experiments.shops.shop import SHOPS
from tests.api.experiments.test_conversions import Shop
from tests.kit.consoles import NOW, Answered

SECRET = "a signing secret"
NOW_S = int(NOW.timestamp())
Sign = Callable[[bytes, str, int], Mapping[str, str]]


def hexadecimal(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def base_64(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


# By shop: the header fields with which it signs a body at a time, as its documentation says.
SIGNS: dict[str, Sign] = {
    "stripe": lambda body, secret, at: {
        "Stripe-Signature": f"t={at},v1={hexadecimal(secret, b'%d.' % at + body)},v0=00"
    },
    "paddle": lambda body, secret, at: {
        "Paddle-Signature": f"ts={at};h1={hexadecimal(secret, b'%d:' % at + body)}"
    },
    "shopify": lambda body, secret, at: {"X-Shopify-Hmac-Sha256": base_64(secret, body)},
    "woocommerce": lambda body, secret, at: {"X-WC-Webhook-Signature": base_64(secret, body)},
    "gumroad": lambda body, secret, at: {},
}


class ShopHook:
    """A hook of a known shop, and requests of that shop."""

    def __init__(self, shop: Shop, name: str, path: str, id_: str) -> None:
        self.shop = shop
        self.name = name
        self.path = path
        self.id = id_
        self.refunds = shop.console.conversions.refunds

    @classmethod
    async def create(cls, name: str, **fields: Any) -> "ShopHook":
        shop = await Shop.open()
        hooks = f"/v1/profiles/{shop.lab.profile}/conversion-hooks"
        secrets = [SECRET] if name in SIGNS and SHOPS[name].signature else []
        body = {"label": "Shop", "shop": name, "secrets": secrets} | fields
        created = await shop.console.call("POST", hooks, body)
        assert created.status == 201, created.body
        hook = created.json
        assert "secret" not in created.body.decode().replace('"secrets":', "")
        return cls(shop, name, "/in/" + hook["url"].rpartition("/")[2], hook["id"])

    def sample(self, click_id: Any = "", **fields: Any) -> Any:
        """Return the shop's sample body with another click id and other fields, by their dotted paths."""
        body: Any = copy.deepcopy(dict(SHOPS[self.name].sample))
        text = orjson.dumps(body).replace(b"WP_CLICK", (click_id or self.shop.click()).encode())
        body = orjson.loads(text)
        for path, value in fields.items():
            *steps, last = path.split(".")
            target = body
            for step in steps:
                target = target[step]
            target[last] = value
        return body

    async def send(
        self, body: Any, secret: Any = SECRET, at: Any = NOW_S, **headers: str
    ) -> Answered:
        if self.name == "gumroad":
            fields = {k: v for k, v in body.items() if not isinstance(v, dict)}
            fields |= {f"url_params[{k}]": v for k, v in body.get("url_params", {}).items()}
            raw, content_type = urlencode(fields).encode(), "application/x-www-form-urlencoded"
        else:
            raw = body if isinstance(body, bytes) else orjson.dumps(body)
            content_type = "application/json; charset=utf-8"
        signed = dict(SIGNS[self.name](raw, secret, at)) | headers
        return await self.shop.console.call(
            "POST", self.path, raw, key="", **{"Content-Type": content_type, **signed}
        )

    def orders(self) -> list[tuple[str, str | None, str | None]]:
        """Return order, value and currency of the conversions."""
        drafts = [c.draft for c, _, _ in self.shop.console.conversions.conversions.values()]
        return [
            (d.order_id, None if d.value is None else f"{d.value:.2f}", d.currency) for d in drafts
        ]

    def worth(self) -> Decimal:
        """Return what remains of the only order after its refunds."""
        ((conversion, _, _),) = self.shop.console.conversions.conversions.values()
        draft = conversion.draft
        assert draft.value is not None
        assert draft.currency is not None
        refunds = [
            refund
            for refund in self.refunds.values()
            if (refund.name, refund.order_id) == (draft.name, draft.order_id)
        ]
        moved = movements(draft.value, draft.currency, refunds)
        return draft.value + sum((movement.value for movement in moved), Decimal(0))


ORDER_IDS = {
    "stripe": "pi_sample", "paddle": "txn_sample", "shopify": "5123456789", "woocommerce": "727",
    "gumroad": "sample==",
}  # fmt: skip


@pytest.mark.parametrize("name", SHOPS)
async def test_a_shops_order_is_recorded_once_with_value_and_click(name: str) -> None:
    hook = await ShopHook.create(name)
    first = await hook.send(hook.sample())
    again = await hook.send(hook.sample())
    assert (first.status, first.json) == (201, {"attribution": "attributed", "duplicate": False})
    assert (again.status, again.json) == (200, {"attribution": "attributed", "duplicate": True})
    assert hook.orders() == [(ORDER_IDS[name], "49.90", "EUR")]
    ((conversion, source, _),) = hook.shop.console.conversions.conversions.values()
    assert (conversion.draft.name, source, conversion.at) == ("sale", "hook", NOW)
    other_click = await hook.send(hook.sample(hook.shop.click(visitor=2)))
    assert other_click.json["duplicate"] is True
    assert len(hook.orders()) == 1


@pytest.mark.parametrize("name", SHOPS)
async def test_a_shops_order_without_a_click_is_unattributed_and_never_refused(name: str) -> None:
    hook = await ShopHook.create(name)
    for click_id in ("unknown", hook.shop.click(profile_id=5), hook.shop.click(tenant_id=9), ""):
        body = orjson.loads(orjson.dumps(hook.sample("x")).replace(b'"x"', orjson.dumps(click_id)))
        answered = await hook.send(body)
        assert answered.status in (200, 201)
        assert answered.json["attribution"] == "unattributed"
    assert hook.orders() == [(ORDER_IDS[name], "49.90", "EUR")]


@pytest.mark.parametrize("name", [name for name in SHOPS if SHOPS[name].signature])
async def test_only_what_the_shop_has_signed_is_taken(name: str) -> None:
    hook = await ShopHook.create(name)
    body = hook.sample()
    for answered in (
        await hook.send(body, secret="another secret"),
        await hook.send(
            orjson.dumps(body), **dict.fromkeys(SIGNS[name](b"{}", SECRET, NOW_S), "x")
        ),
        await hook.send(orjson.dumps(body), **SIGNS[name](b"{}", SECRET, NOW_S)),
        await hook.send(orjson.dumps(body), **dict.fromkeys(SIGNS[name](b"{}", SECRET, NOW_S), "")),
    ):
        answered.problem(401)
    assert hook.orders() == []
    hooks = f"/v1/profiles/{hook.shop.lab.profile}/conversion-hooks/{hook.id}"
    both = {"secrets": ["the next secret", SECRET]}
    changed = await hook.shop.console.call("PATCH", hooks, both)
    assert (changed.status, changed.json["secrets"]) == (200, 2)
    assert (await hook.send(body)).status == 201
    assert (await hook.send(body, secret="the next secret")).status == 200
    await hook.shop.console.call("PATCH", hooks, {"secrets": ["the next secret"]})
    (await hook.send(body)).problem(401)
    counts = {s.labels: s.value for s in hook.shop.console.shop_reports.samples()}
    assert {5, 1, 0} >= set(counts.values())


@pytest.mark.parametrize("name", ["stripe", "paddle"])
@pytest.mark.parametrize(("age_s", "status"), [(300, 201), (301, 401), (-300, 201), (-301, 401)])
async def test_a_signature_is_good_for_five_minutes(name: str, age_s: int, status: int) -> None:
    hook = await ShopHook.create(name)
    assert (await hook.send(hook.sample(), at=NOW_S - age_s)).status == status


async def test_a_signature_has_one_time() -> None:
    hook = await ShopHook.create("stripe")
    raw = orjson.dumps(hook.sample())
    good = SIGNS["stripe"](raw, SECRET, NOW_S)["Stripe-Signature"]
    code = good.split(",")[1]
    for bad in (
        f"{good},t=1",
        code,
        f"t=,{code}",
        f"t=x,{code}",
        f"t={'9' * 13},{code}",
        "," * 3000,
    ):
        (await hook.send(raw, **{"Stripe-Signature": bad})).problem(401)
    several = good.replace("v1=", "v1=00,v1=")
    assert (await hook.send(raw, **{"Stripe-Signature": several})).status == 201


def stripe_refund(hook: ShopHook, total: int, **more: Any) -> Any:
    charge = {"id": "ch_1", "payment_intent": "pi_sample", "currency": "eur",
              "amount": 4990, "amount_refunded": total}  # fmt: skip
    return {"type": "charge.refunded", "created": NOW_S, "data": {"object": charge | more}}


async def test_stripe_tells_how_much_was_refunded_so_far_in_any_order() -> None:
    hook = await ShopHook.create("stripe")
    second = await hook.send(stripe_refund(hook, 3000))
    assert (second.status, second.json) == (200, {"refunds": 1})
    await hook.send(stripe_refund(hook, 1000))  # the first one comes late
    assert (await hook.send(stripe_refund(hook, 3000))).json == {"refunds": 0}
    await hook.send(hook.sample())
    assert hook.worth() == Decimal("19.90")
    dispute = {"id": "dp_1", "payment_intent": "pi_sample", "currency": "eur", "amount": 4990}
    for kind, worth in (("withdrawn", "0"), ("reinstated", "19.90")):
        event = {
            "type": f"charge.dispute.funds_{kind}",
            "created": NOW_S,
            "data": {"object": dispute},
        }
        await hook.send(event)
        assert hook.worth() == Decimal(worth)


@pytest.mark.parametrize(
    ("currency", "amount", "value"),
    [("jpy", 500, "500.00"), ("kwd", 12340, "12.34"), ("isk", 50000, "500.00"), ("usd", 1, "0.01")],
)
async def test_stripe_counts_in_the_minor_units_of_each_currency(
    currency: str, amount: int, value: str
) -> None:
    hook = await ShopHook.create("stripe")
    fields = {"data.object.currency": currency, "data.object.amount_total": amount}
    await hook.send(hook.sample(**fields))
    assert hook.orders() == [("pi_sample", value, currency.upper())]


async def test_stripe_counts_delayed_payments_when_they_arrive_and_subscriptions_by_invoice() -> (
    None
):
    hook = await ShopHook.create("stripe")
    unpaid = hook.sample(**{"data.object.payment_status": "unpaid"})
    assert (await hook.send(unpaid)).json == {"ignored": True}
    paid = hook.sample(type="checkout.session.async_payment_succeeded")
    assert (await hook.send(paid)).status == 201
    assert (await hook.send({"type": "invoice.paid", "data": {}})).json == {"ignored": True}
    session = {"data.object.payment_intent": None, "data.object.invoice": "in_1"}
    await hook.send(hook.sample(**session))
    assert [order[0] for order in hook.orders()] == ["pi_sample", "in_1"]
    refund = stripe_refund(hook, 500, payment_intent="pi_2", invoice="in_1")
    assert (await hook.send(refund)).json == {"refunds": 2}


async def test_shopify_refunds_and_cancels() -> None:
    hook = await ShopHook.create("shopify")
    refund = {"id": 9, "order_id": 5123456789, "created_at": "2026-03-15T10:00:00+01:00",
              "transactions": [
                  {"kind": "refund", "status": "success", "amount": "10.00", "currency": "EUR"},
                  {"kind": "refund", "status": "failure", "amount": "10.00", "currency": "EUR"},
                  {"kind": "void", "status": "success", "amount": "10.00", "currency": "EUR"}]}  # fmt: skip
    assert (await hook.send(refund)).json == {"refunds": 1}
    await hook.send(hook.sample(refunds=[refund], financial_status="partially_refunded"))
    assert hook.worth() == Decimal("39.90")
    await hook.send(refund | {"id": 10})
    assert hook.worth() == Decimal("29.90")
    cancelled = hook.sample(cancelled_at="2026-03-15T10:30:00+01:00", financial_status="voided")
    assert (await hook.send(cancelled)).json == {"refunds": 1}
    assert hook.worth() == 0
    for body in (
        {"id": 1},
        {"order_id": 1, "transactions": []},
        hook.sample(financial_status="pending"),
    ):
        assert (await hook.send(body)).json == {"ignored": True}


async def test_shopify_finds_the_click_in_the_address_by_which_the_customer_came() -> None:
    hook = await ShopHook.create("shopify")
    landing = f"/products/tea?utm_source=x&wp_click={hook.shop.click()}"
    answered = await hook.send(hook.sample(note_attributes=[], landing_site=landing))
    assert answered.json["attribution"] == "attributed"


async def test_paddle_refunds_by_approved_adjustments() -> None:
    hook = await ShopHook.create("paddle")

    def adjustment(id_: str, action: str, status: str, total: str) -> Any:
        data = {"id": id_, "action": action, "status": status, "transaction_id": "txn_sample",
                "currency_code": "EUR", "totals": {"total": total}}  # fmt: skip
        return {
            "event_type": "adjustment.updated",
            "occurred_at": "2026-03-15T09:00:00Z",
            "data": data,
        }

    await hook.send(hook.sample())
    assert (await hook.send(adjustment("adj_1", "refund", "pending_approval", "990"))).json == {
        "ignored": True
    }
    for body, worth in (
        (adjustment("adj_1", "refund", "approved", "990"), "40"),
        (adjustment("adj_1", "refund", "approved", "990"), "40"),
        (adjustment("adj_2", "chargeback", "approved", "4000"), "0"),
        (adjustment("adj_3", "chargeback_reverse", "approved", "4000"), "40"),
        (adjustment("adj_1", "refund", "reversed", "990"), "49.90"),
        (adjustment("adj_4", "chargeback_warning", "approved", "4000"), "49.90"),
    ):
        await hook.send(body)
        assert hook.worth() == Decimal(worth)


async def test_gumroad_posts_forms() -> None:
    hook = await ShopHook.create("gumroad")
    yen = hook.sample(sale_id="yen", price="500", currency="jpy")
    await hook.send(yen)
    nameless = {k: v for k, v in hook.sample(sale_id="usd").items() if k != "currency"}
    await hook.send(nameless)
    assert hook.orders() == [("yen", "500.00", "JPY"), ("usd", "49.90", "USD")]


async def test_gumroad_refunds_and_disputes() -> None:
    hook = await ShopHook.create("gumroad")
    disputed = hook.sample(resource_name="dispute", disputed="true")
    await hook.send(disputed)
    assert hook.worth() == 0
    await hook.send(disputed | {"dispute_won": "true", "resource_name": "dispute_won"})
    assert hook.worth() == Decimal("49.90")
    await hook.send(hook.sample(amount_refunded_in_cents="1000", refunded="false"))
    assert hook.worth() == Decimal("39.90")
    await hook.send(hook.sample(refunded="true", resource_name="refund"))
    assert hook.worth() == 0


async def test_woocommerce_pings_before_it_signs_and_tells_refunds_with_the_order() -> None:
    hook = await ShopHook.create("woocommerce")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    ping = await hook.shop.console.call("POST", hook.path, b"webhook_id=7", key="", **form)
    assert (ping.status, ping.json) == (200, {"ignored": True})
    other = await hook.shop.console.call("POST", hook.path, b"webhook_id=7&id=1", key="", **form)
    other.problem(401)
    pending = await hook.send(hook.sample(status="pending"))
    assert pending.json == {"ignored": True}
    await hook.send(hook.sample(refunds=[{"id": 1, "reason": "", "total": "-10.00"}]))
    assert hook.worth() == Decimal("39.90")
    both = [{"id": 1, "total": "-10.00"}, {"id": 2, "total": "-9.90"}]
    await hook.send(hook.sample(refunds=both, status="completed"))
    assert hook.worth() == 30
    assert (await hook.send(hook.sample(status="failed"))).json == {"ignored": True}
    await hook.send(hook.sample(status="cancelled"))
    assert hook.worth() == 0


async def test_woocommerce_finds_the_click_in_its_own_attribution() -> None:
    hook = await ShopHook.create("woocommerce")
    entry = f"https://shop.example/tea?wp_click={hook.shop.click()}"
    meta = [{"key": "_wc_order_attribution_session_entry", "value": entry}]
    assert (await hook.send(hook.sample(meta_data=meta))).json["attribution"] == "attributed"


async def test_a_paypal_form_is_read_by_a_custom_hook() -> None:
    fields = {"click_id": "custom", "order_id": "parent_txn_id|txn_id", "value": "mc_gross",
              "currency": "mc_currency", "refund_id": "txn_id"}  # fmt: skip
    hook = await ShopHook.create("custom", fields=fields)
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    async def send(**body: str) -> Answered:
        raw = urlencode({"custom": hook.shop.click(), "mc_currency": "eur"} | body).encode()
        return await hook.shop.console.call("POST", hook.path, raw, key="", **form)

    assert (await send(txn_id="8TX", mc_gross="49.90")).json["attribution"] == "attributed"
    assert hook.orders() == [("8TX", "49.90", "EUR")]
    for _ in range(2):
        await send(txn_id="9TX", parent_txn_id="8TX", mc_gross="-9.90")
        assert hook.worth() == 40


@pytest.mark.parametrize(
    ("factor", "currency", "value"),
    [(100, "EUR", "49.90"), (None, "jpy", "4990"), (1, "eur", "4990")],
)
async def test_a_custom_hook_divides_by_its_factor(
    factor: int | None, currency: str, value: str
) -> None:
    fields = {"click_id": "notes[name=wp_click].value"}
    hook = await ShopHook.create("custom", fields=fields, value_factor=factor)
    notes = [{"name": "gift", "value": "x"}, {"name": "wp_click", "value": hook.shop.click()}]
    body = {"order_id": 1, "value": 4990, "currency": currency, "notes": notes}
    answered = await hook.shop.console.call("POST", hook.path, body, key="")
    assert answered.json["attribution"] == "attributed"
    assert hook.worth() == Decimal(value)


async def test_an_order_with_neither_id_nor_click_is_told_apart_by_its_bytes() -> None:
    hook = await ShopHook.create("custom")
    for body, duplicate in ((b'{"a": 1}', False), (b'{"a": 1}', True), (b'{"a": 2}', False)):
        answered = await hook.shop.console.call("POST", hook.path, body, key="")
        assert answered.json == {"attribution": "unattributed", "duplicate": duplicate}


async def test_broken_bodies_of_a_hook_are_refused_in_words() -> None:
    hook = await ShopHook.create("woocommerce", secrets=[])
    for raw in (b"", b"{", b"[]", b"\xff", b'{"a":' * 5000):
        answered = await hook.shop.console.call("POST", hook.path, raw, key="")
        assert answered.status in (400, 422)
        answered.problem(answered.status)
    many = hook.sample(refunds=[{"id": n, "total": "-1"} for n in range(MAX_AT_ONCE + 1)])
    assert "refunds" in (await hook.shop.console.call("POST", hook.path, many, key="")).problem(422)
    wide = "&".join(f"a{n}=1" for n in range(1001)).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    (await hook.shop.console.call("POST", hook.path, wide, key="", **form)).problem(422)


async def test_a_hooks_value_replaces_that_of_the_script_which_anybody_can_send() -> None:
    hook = await ShopHook.create("stripe")
    claim = {"click_id": hook.shop.click(), "name": "sale", "order_id": "pi_sample",
             "value": "1", "currency": "EUR"}  # fmt: skip
    collected = await hook.shop.console.call("POST", "/collect", claim, key="")
    assert collected.status == 200
    assert (await hook.send(hook.sample())).json["duplicate"] is True
    assert hook.orders() == [("pi_sample", "49.90", "EUR")]
    stolen = claim | {"order_id": "pi_2", "click_id": hook.shop.click(visitor=9)}
    await hook.shop.console.call("POST", "/collect", stolen, key="")
    order = await hook.send(hook.sample(**{"data.object.payment_intent": "pi_2"}))
    assert order.json["duplicate"] is False  # a claim under another click takes no order


async def test_the_known_shops_are_listed_with_their_samples() -> None:
    shop = await Shop.open()
    listed = (await shop.console.call("GET", "/v1/conversion-shops")).json["items"]
    assert [item["name"] for item in listed] == list(SHOPS)
    assert {item["signature_header"] for item in listed} >= {"Stripe-Signature", None}
    assert all("WP_CLICK" in str(item["sample"]) for item in listed)
