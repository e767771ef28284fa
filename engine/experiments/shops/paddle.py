"""Paddle Billing: completed transactions are orders, approved adjustments are refunds.

The click id comes in `custom_data.wp_click`, which the checkout sets.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.experiments.money import currency_code, minor_amount
from engine.experiments.shops.field_path import value_at_path
from engine.experiments.shops.shop_report import (
    ShopOrder,
    ShopRefund,
    ShopReport,
    click_id_in,
    moment,
)

EVENTS: Final = ("transaction.completed", "adjustment.created", "adjustment.updated")
CLICK_IDS: Final = ("data.custom_data.wp_click",)
# What an adjustment does to the order's value; warnings of chargebacks move nothing.
_SIGNS: Final[Mapping[str, int]] = {
    "refund": 1, "credit": 1, "chargeback": 1, "chargeback_reverse": -1, "credit_reverse": -1,
}  # fmt: skip

SAMPLE: Final[Mapping[str, Any]] = {
    "event_id": "evt_sample", "event_type": "transaction.completed",
    "occurred_at": "2026-11-02T10:00:00.123456Z",
    "data": {
        "id": "txn_sample", "status": "completed", "currency_code": "EUR",
        "billed_at": "2026-11-02T10:00:00.123456Z", "custom_data": {"wp_click": "WP_CLICK"},
        "details": {"totals": {"subtotal": "4193", "tax": "797", "total": "4990"}},
    },
}  # fmt: skip


def read(body: Any) -> ShopReport:
    event = value_at_path(body, "event_type")
    currency = currency_code(value_at_path(body, "data.currency_code") or "")
    if event == EVENTS[0]:
        order_id = value_at_path(body, "data.id")
        value = minor_amount(value_at_path(body, "data.details.totals.total") or "", currency)
        at = moment(value_at_path(body, "data.billed_at|occurred_at"))
        click_id = click_id_in(body, *CLICK_IDS)
        return ShopReport(ShopOrder(order_id, click_id, value, currency, at) if order_id else None)
    if event in EVENTS[1:]:
        refund = _adjustment(body, currency)
        return ShopReport(refunds=(refund,) if refund else ())
    return ShopReport()


def _adjustment(body: Any, currency: str) -> ShopRefund | None:
    order_id = value_at_path(body, "data.transaction_id")
    sign = _SIGNS.get(value_at_path(body, "data.action") or "")
    value = minor_amount(value_at_path(body, "data.totals.total") or "", currency)
    status = value_at_path(body, "data.status")
    if not order_id or sign is None or value is None or status not in ("approved", "reversed"):
        return None
    refund_id = value_at_path(body, "data.id") or ""
    if status == "reversed":
        refund_id, sign = f"{refund_id} reversed", -sign
    at = moment(value_at_path(body, "occurred_at"))
    return ShopRefund(order_id, refund_id, "amount", sign * abs(value), currency, at)
