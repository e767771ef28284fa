"""Conversion hooks: secret URLs that shops post their orders and refunds to."""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from engine.clicks.click_id import MAX_CHARS
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.text_rules import text_errors
from engine.experiments.conversion import name_errors
from engine.experiments.money import amount, currency_code, minor_amount
from engine.experiments.shops.field_path import value_at_path
from engine.experiments.shops.shop import SHOP_NAMES, SHOPS, ShopName
from engine.experiments.shops.shop_report import ShopOrder, ShopRefund, ShopReport, click_id_in

MAX_FACTOR: Final = 1_000_000
MAX_SECRETS: Final = 3
SECRET_CHARS: Final = range(8, 257)


class HookFieldPaths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The path of each of a conversion's fields; null for a field that the shop does not send. `refund_id`
    tells refunds of one order apart."""

    click_id: str = "click_id"
    order_id: str | None = "order_id"
    value: str | None = "value"
    currency: str | None = "currency"
    refund_id: str | None = None


ValueFactor = Annotated[
    Annotated[int, msgspec.Meta(ge=1, le=MAX_FACTOR)] | None,
    msgspec.Meta(
        description="how many of the value's unit make one of the currency, 100 for cents; `null`: the minor "
        "unit that each currency has. For a custom shop"
    ),
]
Secrets = Annotated[
    list[str],
    msgspec.Meta(
        description=f"the shop's signing secrets, at most {MAX_SECRETS}: a request must be signed with one of "
        "them. Without any, the URL alone is trusted"
    ),
]
_SHOP: Final = "which shop posts; `custom` finds the fields by `fields`"


class HookDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A hook to be created. `name` is the name of its conversions."""

    label: Annotated[str, StandIn("")]
    name: str = "sale"
    shop: Annotated[ShopName, msgspec.Meta(description=_SHOP)] = "custom"
    fields: HookFieldPaths = HookFieldPaths()
    value_factor: ValueFactor = 1
    secrets: Secrets = []


class ConversionHook(msgspec.Struct, frozen=True, kw_only=True):
    """A hook as it is kept. `secrets` is how many signing secrets it has."""

    id: int
    profile_id: int
    label: str
    name: str
    shop: ShopName
    fields: HookFieldPaths
    value_factor: int | None
    secrets: int
    created_at: datetime


class ResolvedHook(NamedTuple):
    """The hook that a token belongs to."""

    tenant_id: int
    profile_id: int
    name: str
    shop: ShopName
    fields: HookFieldPaths
    value_factor: int | None
    secrets: tuple[str, ...]


def validate_hook(draft: HookDraft) -> tuple[HookDraft | None, list[FieldError]]:
    """Return the draft and no errors, or None and every error."""
    field_errors = text_errors(draft.label, "label", 200) + name_errors(draft.name)
    if draft.shop not in SHOP_NAMES:
        field_errors.append(FieldError("shop", f"must be one of {', '.join(SHOP_NAMES)}"))
    field_errors += _path_errors(draft.fields)
    if draft.value_factor is not None and not 1 <= draft.value_factor <= MAX_FACTOR:
        field_errors.append(
            FieldError("value_factor", f"must be from 1 to {MAX_FACTOR:,}, or null")
        )
    field_errors += _secret_errors(draft)
    return (None, field_errors) if field_errors else (draft, [])


def _path_errors(paths: HookFieldPaths) -> list[FieldError]:
    field_errors = []
    for field in HookFieldPaths.__struct_fields__:
        path = getattr(paths, field)
        if path is not None and not 0 < len(path) <= MAX_CHARS:
            field_errors.append(
                FieldError(f"fields.{field}", f"must have 1 to {MAX_CHARS} characters")
            )
        elif path is not None:
            field_errors += text_errors(path, f"fields.{field}", MAX_CHARS)
    return field_errors


def _secret_errors(draft: HookDraft) -> list[FieldError]:
    if draft.secrets and (draft.shop not in SHOPS or SHOPS[draft.shop].signature is None):
        return [FieldError("secrets", f"must be empty, as {draft.shop} hooks are not signed")]
    if len(draft.secrets) > MAX_SECRETS:
        return [FieldError("secrets", f"must be at most {MAX_SECRETS}")]
    for secret in draft.secrets:
        if len(secret) not in SECRET_CHARS or not (secret.isascii() and secret.isprintable()):
            return [FieldError("secrets", "must each be of 8 to 256 printable ASCII characters")]
    return []


def read_report(hook: ResolvedHook, body: Any, sha256: str) -> ShopReport:
    """Return the report of a shop's body, with ids for those that it left out. `sha256` is of its bytes.

    Raises InvalidError for a custom hook's value that is no amount.
    """
    shop = SHOPS.get(hook.shop)
    report = _custom_report(hook, body) if shop is None else shop.read(body)
    order = report.order
    if order is not None and not order.order_id and order.click_id is None:
        # Its bytes are its id, so that a retry is no second order.
        report = report._replace(order=order._replace(order_id=f"sha256:{sha256}"))
    return report._replace(
        refunds=tuple(
            refund if refund.refund_id else refund._replace(refund_id=f"sha256:{sha256}")
            for refund in report.refunds
        )
    )


def _custom_report(hook: ResolvedHook, body: Any) -> ShopReport:
    """Return the order that the paths find, or the refund if its value is negative."""
    paths = hook.fields
    order_id = value_at_path(body, paths.order_id) or ""
    currency = currency_code(value_at_path(body, paths.currency) or "") or None
    value_text = value_at_path(body, paths.value)
    value: Decimal | None = None
    if value_text is None or currency is None:
        currency = None  # a value counts only with its currency
    else:
        value = (
            minor_amount(value_text, currency)
            if hook.value_factor is None
            else amount(value_text, hook.value_factor)
        )
        if value is None:
            raise InvalidError([FieldError("value", "must be a number")])
    if value is not None and value < 0 and order_id:
        refund_id = value_at_path(body, paths.refund_id) or ""
        return ShopReport(refunds=(ShopRefund(order_id, refund_id, "amount", -value, currency),))
    click_id = None if paths.click_id is None else click_id_in(body, paths.click_id)
    return ShopReport(ShopOrder(order_id, click_id, value, currency))


def body_sha256(body: bytes) -> str:
    """Return the SHA-256 of a body, in hex."""
    return hashlib.sha256(body).hexdigest()
