"""Gumroad: pings of sales, refunds and disputes, which are forms.

Gumroad signs nothing: the hook's secret URL is what it proves itself by. The click id comes in
`url_params[wp_click]`, which Gumroad takes from the product's URL.
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

EVENTS: Final = ("sale", "refund", "dispute", "dispute_won")
CLICK_IDS: Final = ("url_params[wp_click]", "custom_fields[wp_click]", "referrer")
CURRENCY: Final = "USD"  # of pings that name none

SAMPLE: Final[Mapping[str, Any]] = {
    "sale_id": "sample==", "sale_timestamp": "2026-11-02T10:00:00Z", "order_number": "524459935",
    "resource_name": "sale", "product_permalink": "https://ada.gumroad.com/l/tea",
    "price": "4990", "currency": "eur", "refunded": "false", "disputed": "false",
    "dispute_won": "false", "url_params": {"wp_click": "WP_CLICK"},
}  # fmt: skip


def read(body: Any) -> ShopReport:
    order_id = value_at_path(body, "sale_id")
    if not order_id:
        return ShopReport()
    currency = currency_code(value_at_path(body, "currency") or CURRENCY)
    value = minor_amount(value_at_path(body, "price") or "", currency)
    order = ShopOrder(
        order_id, click_id_in(body, *CLICK_IDS), value, currency,
        moment(value_at_path(body, "sale_timestamp")),
    )  # fmt: skip
    return ShopReport(order, tuple(_refunds(body, order)))


def _refunds(body: Any, order: ShopOrder) -> list[ShopRefund]:
    """Return what a ping says that was given back; it does not say when."""
    refunds = []
    refunded = value_at_path(body, "amount_refunded_in_cents") or ""
    value = minor_amount(refunded, order.currency or CURRENCY)
    if value:
        refunds.append(
            ShopRefund(order.order_id, f"refunded {refunded}", "total", value, order.currency)
        )
    elif _is_true(body, "refunded") or value_at_path(body, "resource_name") == "refund":
        refunds.append(ShopRefund(order.order_id, "refunded", "total", order.value, order.currency))
    for field, sign in (("disputed", 1), ("dispute_won", -1)):
        if _is_true(body, field) and order.value is not None:
            refunds.append(
                ShopRefund(order.order_id, field, "amount", sign * order.value, order.currency)
            )
    return [refund for refund in refunds if refund.value is not None]


def _is_true(body: Any, field: str) -> bool:
    return (value_at_path(body, field) or "").lower() == "true"
