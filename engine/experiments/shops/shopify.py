"""Shopify: paid orders, refunds, and cancelled orders.

The click id comes in the cart's attribute `wp_click` (`note_attributes`), or in the address by which the
customer came (`landing_site`), for which the shop has to do nothing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from engine.experiments.money import amount, currency_code
from engine.experiments.shops.field_path import object_at_path, value_at_path
from engine.experiments.shops.shop_report import (
    ShopOrder,
    ShopRefund,
    ShopReport,
    click_id_in,
    moment,
)

EVENTS: Final = ("orders/paid", "orders/cancelled", "refunds/create")
CLICK_IDS: Final = (
    "note_attributes[name=wp_click].value",
    "landing_site",
    "landing_site_ref",
)
# An order in another state has not been paid: it is reported again when it is.
_PAID: Final = ("paid", "partially_paid", "partially_refunded", "refunded")

SAMPLE: Final[Mapping[str, Any]] = {
    "id": 5123456789, "name": "#1001", "created_at": "2026-11-02T11:00:00+01:00",
    "processed_at": "2026-11-02T11:00:00+01:00", "cancelled_at": None,
    "financial_status": "paid", "currency": "EUR", "total_price": "49.90",
    "landing_site": "/products/tea?utm_source=waypost",
    "note_attributes": [{"name": "gift", "value": "no"}, {"name": "wp_click", "value": "WP_CLICK"}],
    "refunds": [],
}  # fmt: skip


def read(body: Any) -> ShopReport:
    if value_at_path(body, "order_id") and isinstance(object_at_path(body, "transactions"), list):
        refund = _refund(body, value_at_path(body, "order_id") or "")
        return ShopReport(refunds=(refund,) if refund else ())
    order_id = value_at_path(body, "id")
    if not order_id or value_at_path(body, "total_price") is None:
        return ShopReport()
    return ShopReport(_order(body, order_id), tuple(_refunds(body, order_id)))


def _order(body: Any, order_id: str) -> ShopOrder | None:
    if value_at_path(body, "financial_status") not in _PAID:
        return None
    return ShopOrder(
        order_id,
        click_id_in(body, *CLICK_IDS),
        amount(value_at_path(body, "total_price") or ""),
        currency_code(value_at_path(body, "currency") or ""),
        moment(value_at_path(body, "processed_at|created_at")),
    )


def _refunds(body: Any, order_id: str) -> list[ShopRefund]:
    """Return the refunds that an order's body lists, and its cancellation."""
    listed = object_at_path(body, "refunds")
    refunds = [
        refund
        for item in (listed if isinstance(listed, list) else [])
        if (refund := _refund(item, order_id)) is not None
    ]
    if cancelled_at := value_at_path(body, "cancelled_at"):
        refunds.append(ShopRefund(order_id, "cancelled", "void", at=moment(cancelled_at)))
    return refunds


def _refund(refund: Any, order_id: str) -> ShopRefund | None:
    """Return a refund by its successful transactions; None if it moved no money."""
    transactions = object_at_path(refund, "transactions")
    values, currency = [], ""
    for transaction in transactions if isinstance(transactions, list) else []:
        if value_at_path(transaction, "kind") != "refund":
            continue
        if value_at_path(transaction, "status") not in ("success", None):
            continue
        value = amount(value_at_path(transaction, "amount") or "")
        if value is not None:
            values.append(value)
            currency = currency_code(value_at_path(transaction, "currency") or currency)
    if not values:
        return None
    refund_id = value_at_path(refund, "id") or ""
    at = moment(value_at_path(refund, "processed_at|created_at"))
    return ShopRefund(order_id, refund_id, "amount", sum(values, Decimal(0)), currency, at)
