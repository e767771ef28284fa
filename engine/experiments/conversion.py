"""A conversion: an order or other success after a click, as the target's side reports it.

Its key is click id, name and order: the same key again changes nothing, whatever its value. An order that the
API or a hook reports under two clicks is one, that of the first; reports by the script do not claim an order,
as they are only as trustworthy as visitors. An order without a click id is kept as unattributed.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.clicks.click import time_of
from engine.clicks.click_id import ClickId
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.text_rules import text_errors
from engine.experiments.money import PLACES, currency_code, is_currency_code
from engine.experiments.shops.shop_report import ShopOrder

Attribution = Literal["attributed", "unexposed", "expired", "deleted", "unattributed"]
ConversionSource = Literal["api", "script", "hook"]

MAX_AT_ONCE: Final = 1000
MAX_NAME_CHARS: Final = 64
MAX_ORDER_CHARS: Final = 128
MAX_VALUE: Final = Decimal(10) ** 12
MAX_CLOCK_SKEW: Final = timedelta(minutes=5)  # by which clocks may differ
MAX_AGE: Final = timedelta(days=31)  # after the click; then no visitor can be recognised any more


class ConversionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as reported. `at` None: now."""

    click_id: Annotated[
        str,
        msgspec.Meta(description="the value of `wp_click` in the target's URL"),
        StandIn(""),
    ]
    name: Annotated[str, msgspec.Meta(description="the kind of success, such as `sale`")] = (
        "conversion"
    )
    order_id: Annotated[
        str, msgspec.Meta(description="distinguishes conversions of one name and click")
    ] = ""
    at: datetime | None = None
    value: Annotated[Decimal | None, msgspec.Meta(description="up to four decimal places")] = None
    currency: Annotated[str | None, msgspec.Meta(description="as ISO 4217 has it")] = None


class VerifiedConversion(NamedTuple):
    """A draft whose click has been opened and whose fields are good; both times are aware.

    `click` None: an order that no click is known of; then the draft has an order id.
    """

    draft: ConversionDraft
    click: ClickId | None
    at: datetime
    received_at: datetime

    @property
    def known_click(self) -> ClickId:
        """Return the click of a conversion that has one."""
        assert self.click is not None
        return self.click


class RecordedConversion(NamedTuple):
    """The result of recording a conversion. `duplicate`: it was there already, with this attribution."""

    attribution: Attribution
    duplicate: bool


class Conversion(NamedTuple):
    """A stored conversion. Without an experiment, the last three fields are None; without a click,
    `clicked_at` and `link_id` are None too."""

    id: int
    name: str
    order_id: str
    at: datetime
    received_at: datetime
    clicked_at: datetime | None
    link_id: int | None
    value: Decimal | None
    currency: str | None
    source: ConversionSource
    attribution: Attribution
    experiment_id: int | None = None
    phase: int | None = None
    variant: int | None = None


class RecordedReport(NamedTuple):
    """The result of recording a shop's report: of its order, if it has one, and how many refunds are new."""

    order: RecordedConversion | None
    new_refunds: int


def errors(draft: ConversionDraft, click: ClickId | None, now: datetime) -> list[FieldError]:
    """Return the errors of a draft; `click` is None if its click id could not be opened."""
    field_errors = [] if click else [FieldError("click_id", "must be a click id of this server")]
    field_errors += order_errors(draft)
    if draft.at is not None and draft.at.tzinfo is None:
        field_errors.append(FieldError("at", "must have a time zone"))
    elif draft.at is not None:
        field_errors += _time_errors(draft.at, click, now)
    return field_errors


def order_errors(draft: ConversionDraft) -> list[FieldError]:
    """Return the errors of a draft, but for those of its click and time."""
    field_errors = text_errors(draft.order_id, "order_id", MAX_ORDER_CHARS)
    field_errors += name_errors(draft.name)
    if draft.value is not None and not (
        draft.value.is_finite()
        and 0 <= draft.value < MAX_VALUE
        and draft.value == round(draft.value, PLACES)
    ):
        reason = f"must be from 0 to below {MAX_VALUE:,.0f}, with at most {PLACES} decimal places"
        field_errors.append(FieldError("value", reason))
    if (draft.value is None) != (draft.currency is None):
        field_errors.append(FieldError("currency", "must be given together with value, or neither"))
    elif draft.currency is not None and not is_currency_code(draft.currency):
        field_errors.append(FieldError("currency", "must be three letters such as EUR"))
    return field_errors


def with_currency_code(draft: ConversionDraft) -> ConversionDraft:
    """Return the draft with its currency in capitals."""
    if draft.currency is None:
        return draft
    return msgspec.structs.replace(draft, currency=currency_code(draft.currency))


def conversion_of_order(
    order: ShopOrder, name: str, click: ClickId | None, now: datetime
) -> VerifiedConversion:
    """Return the conversion of a shop's order. `click` None: unattributed. `now` is aware.

    A time that the clocks of shop and edge make impossible becomes the nearest possible one: a shop gives up a
    hook that refuses its requests. Raises InvalidError.
    """
    is_worth = order.value is not None and bool(order.currency)
    draft = ConversionDraft(
        click_id=(order.click_id or "") if click else "",
        name=name,
        order_id=order.order_id,
        value=order.value if is_worth else None,
        currency=order.currency if is_worth else None,
    )
    if field_errors := order_errors(draft):
        raise InvalidError(field_errors)
    at = min(order.at or now, now)
    if click is not None:
        at = max(at, min(time_of(click.at_us), now))
    return VerifiedConversion(draft, click, at, now)


def _time_errors(at: datetime, click: ClickId | None, now: datetime) -> list[FieldError]:
    if at > now + MAX_CLOCK_SKEW:
        return [FieldError("at", "must not be in the future")]
    if click is not None and at < time_of(click.at_us) - MAX_CLOCK_SKEW:
        return [FieldError("at", "must not be before the click")]
    return []


def name_errors(name: str, field: str = "name") -> list[FieldError]:
    if not name:
        return [FieldError(field, "must not be empty")]
    return text_errors(name, field, MAX_NAME_CHARS)


def attribution_of(conversion: VerifiedConversion, attribution_hours: int | None) -> Attribution:
    """Return whether the conversion counts in its click's experiment, and if not, why.

    `attribution_hours` is the experiment's window; None if the experiment was deleted.
    """
    if conversion.click is None:
        return "unattributed"
    if not conversion.click.experiment_id:
        return "unexposed"
    if attribution_hours is None:
        return "deleted"
    clicked_at = time_of(conversion.click.at_us)
    late = conversion.received_at - clicked_at > MAX_AGE
    expired = conversion.at - clicked_at > timedelta(hours=attribution_hours)
    return "expired" if late or expired else "attributed"
