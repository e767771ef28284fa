"""WooCommerce: orders that were paid, with their refunds; cancelled and deleted ones are void.

The click id comes in the order's `meta_data` as `wp_click`, or in the address by which the customer came, which
WooCommerce 8.5 and later keep with each order. A webhook that is saved sends a ping, `webhook_id=…`, before
anything is signed.
"""

from collections.abc import Mapping
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

EVENTS: Final = ("order.created", "order.updated", "order.deleted")
CLICK_IDS: Final = (
    "meta_data[key=wp_click].value",
    "meta_data[key=_wp_click].value",
    "meta_data[key=_wc_order_attribution_session_entry].value",
)
_PAID: Final = ("processing", "completed", "refunded")
# A failed order is none of these: it may be paid with another card.
_VOID: Final = ("cancelled", "trash")

SAMPLE: Final[Mapping[str, Any]] = {
    "id": 727, "number": "727", "status": "processing", "currency": "EUR", "total": "49.90",
    "date_created_gmt": "2026-11-02T10:00:00", "date_modified_gmt": "2026-11-02T10:00:05",
    "date_paid_gmt": "2026-11-02T10:00:05", "refunds": [],
    "meta_data": [{"id": 1, "key": "wp_click", "value": "WP_CLICK"}],
}  # fmt: skip


def is_ping(body: Any) -> bool:
    """Return whether a body is the unsigned ping of a webhook that was saved."""
    return isinstance(body, dict) and body.keys() == {"webhook_id"}


def read(body: Any) -> ShopReport:
    order_id = value_at_path(body, "id")
    status = value_at_path(body, "status")
    if not order_id:
        return ShopReport()
    modified_at = moment(value_at_path(body, "date_modified_gmt"))
    if status in _VOID or status is None:  # of a deleted order only its id is told
        void = ShopRefund(order_id, status or "deleted", "void", at=modified_at)
        return ShopReport(refunds=(void,))
    currency = currency_code(value_at_path(body, "currency") or "")
    order = None
    if status in _PAID:
        order = ShopOrder(
            order_id, click_id_in(body, *CLICK_IDS), amount(value_at_path(body, "total") or ""),
            currency, moment(value_at_path(body, "date_paid_gmt|date_created_gmt")),
        )  # fmt: skip
    refunds = []
    listed = object_at_path(body, "refunds")
    for refund in listed if isinstance(listed, list) else []:
        value = amount(value_at_path(refund, "total") or "")
        if value is not None:
            refund_id = value_at_path(refund, "id") or ""
            refunds.append(
                ShopRefund(order_id, refund_id, "amount", abs(value), currency, modified_at)
            )
    if status == "refunded":  # set by hand, it may list no refund
        refunds.append(ShopRefund(order_id, "refunded", "void", at=modified_at))
    return ShopReport(order, tuple(refunds))
