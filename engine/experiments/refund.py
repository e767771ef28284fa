"""Refunds: value that an order gives back, at the time when it does.

A refund changes no conversion: it is a movement of its own, which counts where the order's conversion counts.
It may come before its order. Together, an order's refunds never give back more than its value.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple, get_args

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors
from engine.experiments.money import PLACES, is_currency_code

RefundKind = Literal["amount", "total", "void"]
REFUND_KINDS: Final[tuple[str, ...]] = get_args(RefundKind)
MAX_ID_CHARS: Final = 128
MAX_VALUE: Final = Decimal(10) ** 12
MAX_AT_ONCE: Final = 100  # of one order in one request


class RefundDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as reported. `at` None: now."""

    order_id: Annotated[str, msgspec.Meta(description="the order of the conversion"), StandIn("")]
    name: Annotated[str, msgspec.Meta(description="the name of the order's conversion")] = (
        "conversion"
    )
    refund_id: Annotated[
        str,
        msgspec.Meta(
            description="distinguishes refunds of one order: reported again, it adds nothing"
        ),
    ] = ""
    kind: Annotated[
        RefundKind,
        msgspec.Meta(
            description="`amount`: `value` is given back (negative: taken back again); `total`: `value` is all "
            "that was given back so far; `void`: the order counts for nothing"
        ),
    ] = "amount"
    value: Annotated[Decimal | None, msgspec.Meta(description="up to four decimal places")] = None
    currency: Annotated[
        str | None, msgspec.Meta(description="that of the order; another one moves nothing")
    ] = None
    at: datetime | None = None


class VerifiedRefund(NamedTuple):
    """A refund whose fields are good; `at` is aware. Void: value and currency are None."""

    name: str
    order_id: str
    refund_id: str
    kind: RefundKind
    value: Decimal | None
    currency: str | None
    at: datetime


class Movement(NamedTuple):
    """Value of an order that moves at a time; negative if it is given back."""

    at: datetime
    value: Decimal


def refund_errors(draft: RefundDraft) -> list[FieldError]:
    """Return the errors of a draft, but for those of its name and time."""
    field_errors = text_errors(draft.order_id, "order_id", MAX_ID_CHARS)
    if not draft.order_id:
        field_errors.append(FieldError("order_id", "must not be empty"))
    field_errors += text_errors(draft.refund_id, "refund_id", MAX_ID_CHARS)
    if draft.kind == "void":
        if draft.value is not None or draft.currency is not None:
            field_errors.append(FieldError("value", "must not be given for a void"))
        return field_errors
    value = draft.value
    if value is None or draft.currency is None:
        field_errors.append(FieldError("value", "must be given together with currency"))
    elif not (value.is_finite() and abs(value) < MAX_VALUE and value == round(value, PLACES)):
        field_errors.append(
            FieldError(
                "value", f"must be below {MAX_VALUE:,.0f}, with at most {PLACES} decimal places"
            )
        )
    elif draft.kind == "total" and value < 0:
        field_errors.append(FieldError("value", "must not be negative for a total"))
    if draft.currency is not None and not is_currency_code(draft.currency):
        field_errors.append(FieldError("currency", "must be three letters such as EUR"))
    return field_errors


def movements(
    value: Decimal, currency: str, refunds: Iterable[VerifiedRefund]
) -> Iterator[Movement]:
    """Yield the movements that an order's refunds make, by time: the rule that storage/stats has in SQL.

    What was given back by a time is the sum of the amounts, or the highest total if that is more, or
    everything if the order is void; never more than `value`, and never less than nothing.
    """
    amounts = highest = before = Decimal(0)
    is_void = False
    for refund in sorted(refunds, key=lambda refund: (refund.at, refund.refund_id, refund.kind)):
        if refund.kind == "void":
            is_void = True
        elif refund.currency != currency or refund.value is None:
            continue
        elif refund.kind == "total":
            highest = max(highest, refund.value)
        else:
            amounts += refund.value
        back = value if is_void else min(value, max(Decimal(0), amounts, highest))
        if back != before:
            yield Movement(refund.at, before - back)
        before = back
