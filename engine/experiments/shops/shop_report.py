"""The report of a shop's request: at most one order, and refunds."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from engine.experiments.refund import RefundKind
from engine.experiments.shops.field_path import value_at_path

PARAMETER: Final = "wp_click"
# The times of shops: from 2000 to 2100, in seconds since 1970.
_SECONDS: Final = range(946_684_800, 4_102_444_800)


class ShopOrder(NamedTuple):
    """An order. `click_id`, `value` and `currency` are None where the shop did not name them; `value` is in the
    currency's main unit. `at` None: when it is received."""

    order_id: str
    click_id: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    at: datetime | None = None


class ShopRefund(NamedTuple):
    """A refund of an order, as engine/experiments/refund.py has it. `at` None: when it is received."""

    order_id: str
    refund_id: str
    kind: RefundKind
    value: Decimal | None = None
    currency: str | None = None
    at: datetime | None = None


class ShopReport(NamedTuple):
    """A request of a shop. Neither order nor refunds: about something else."""

    order: ShopOrder | None = None
    refunds: tuple[ShopRefund, ...] = ()


def click_id_in(body: Any, *paths: str) -> str | None:
    """Return the click id at the first of `paths` that has one: its value, or `wp_click` in a URL there."""
    for path in paths:
        text = value_at_path(body, path)
        if text and (click_id := click_id_of(text)):
            return click_id
    return None


def click_id_of(text: str) -> str | None:
    """Return the click id that `text` is, or that its query has if it is a URL or path; None if it has none."""
    if "?" not in text:
        return text.strip() or None
    try:
        values = parse_qs(urlsplit(text.strip()).query, max_num_fields=200).get(PARAMETER)
    except ValueError:
        return None
    return values[-1] if values else None


def moment(text: str | None) -> datetime | None:
    """Return the time of an ISO 8601 text, UTC where it has no zone, or of seconds since 1970.

    None for anything else.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        seconds = int(text) if len(text) <= 10 else 0
        return datetime.fromtimestamp(seconds, UTC) if seconds in _SECONDS else None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
