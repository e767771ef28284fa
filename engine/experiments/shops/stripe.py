"""Stripe: Checkout sessions and payment links are orders, refunds and lost disputes of charges are refunds.

The click id comes as `client_reference_id` (`?client_reference_id=` of a payment link) or as `wp_click` in
`metadata`. An order's id is the payment intent, which later events name too; with a subscription, which has
none in its session, the invoice.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.experiments.money import currency_code, minor_amount
from engine.experiments.refund import RefundKind
from engine.experiments.shops.field_path import value_at_path
from engine.experiments.shops.shop_report import (
    ShopOrder,
    ShopRefund,
    ShopReport,
    click_id_in,
    moment,
)

EVENTS: Final = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "charge.refunded",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
CLICK_IDS: Final = ("data.object.metadata.wp_click", "data.object.client_reference_id")
_PAID: Final = ("paid", "no_payment_required")
# Where Stripe's amounts differ from ISO 4217: https://docs.stripe.com/currencies, read in November 2026.
_DIGITS: Final[Mapping[str, int]] = {"ISK": 2, "UGX": 2, "MGA": 0}

SAMPLE: Final[Mapping[str, Any]] = {
    "id": "evt_sample", "object": "event", "type": "checkout.session.completed",
    "created": 1793613600,
    "data": {"object": {
        "id": "cs_sample", "object": "checkout.session", "mode": "payment",
        "payment_status": "paid", "payment_intent": "pi_sample",
        "amount_total": 4990, "currency": "eur",
        "client_reference_id": "WP_CLICK", "metadata": {},
    }},
}  # fmt: skip


def read(body: Any) -> ShopReport:
    event = value_at_path(body, "type")
    if event in EVENTS[:2]:
        return _session(body)
    if event == EVENTS[2]:
        return _refund(body, "charge", "total", "amount_refunded", 1)
    if event == EVENTS[3]:
        return _refund(body, "withdrawn", "amount", "amount", 1)
    if event == EVENTS[4]:
        return _refund(body, "reinstated", "amount", "amount", -1)
    return ShopReport()


def _session(body: Any) -> ShopReport:
    order_id = value_at_path(body, "data.object.payment_intent|data.object.invoice|data.object.id")
    is_paid = value_at_path(body, "data.object.payment_status") in _PAID
    if not order_id or not is_paid:
        return ShopReport()  # a delayed payment: async_payment_succeeded follows
    currency = currency_code(value_at_path(body, "data.object.currency") or "")
    value = minor_amount(value_at_path(body, "data.object.amount_total") or "", currency, _DIGITS)
    at = moment(value_at_path(body, "created"))
    return ShopReport(ShopOrder(order_id, click_id_in(body, *CLICK_IDS), value, currency, at))


def _refund(body: Any, what: str, kind: RefundKind, field: str, sign: int) -> ShopReport:
    """Return a refund of the payment intent, and of the invoice where the charge names one."""
    currency = currency_code(value_at_path(body, "data.object.currency") or "")
    value = minor_amount(value_at_path(body, f"data.object.{field}") or "", currency, _DIGITS)
    if value is None:
        return ShopReport()
    # A total is told by its value: each partial refund of a charge tells a higher one.
    number = value_at_path(body, f"data.object.{field}") if kind == "total" else ""
    refund_id = f"{what} {value_at_path(body, 'data.object.id') or ''} {number}".strip()
    at = moment(value_at_path(body, "created"))
    order_ids = (
        value_at_path(body, f"data.object.{name}") for name in ("payment_intent", "invoice")
    )
    return ShopReport(
        refunds=tuple(
            ShopRefund(order_id, refund_id, kind, sign * value, currency, at)
            for order_id in order_ids
            if order_id
        )
    )
