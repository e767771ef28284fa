"""A conversion: an order or other success after a click, as the target's side reports it.

Its key is click id, name and order: the same key again changes nothing, whatever its value.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from engine.clicks.click import time_of
from engine.clicks.click_id import MAX_CHARS, ClickId
from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors

Attribution = Literal["attributed", "unexposed", "expired", "deleted"]
ConversionSource = Literal["api", "script", "hook"]

MAX_AT_ONCE: Final = 1000
MAX_NAME_CHARS: Final = 64
MAX_ORDER_CHARS: Final = 128
MAX_VALUE: Final = Decimal(10) ** 12
PLACES: Final = 4
MAX_CLOCK_SKEW: Final = timedelta(minutes=5)  # by which clocks may differ
MAX_AGE: Final = timedelta(days=31)  # after the click; then no visitor can be recognised any more
_CURRENCY: Final = re.compile("[A-Z]{3}")


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
    """A draft whose click has been opened and whose fields are good; both times are aware."""

    draft: ConversionDraft
    click: ClickId
    at: datetime
    received_at: datetime


class RecordedConversion(NamedTuple):
    """The result of recording a conversion. `duplicate`: it was there already, with this attribution."""

    attribution: Attribution
    duplicate: bool


class Conversion(NamedTuple):
    """A stored conversion. Without an experiment, the last three fields are None."""

    id: int
    name: str
    order_id: str
    at: datetime
    received_at: datetime
    clicked_at: datetime
    link_id: int
    value: Decimal | None
    currency: str | None
    source: ConversionSource
    attribution: Attribution
    experiment_id: int | None = None
    phase: int | None = None
    variant: int | None = None


class ConversionHook(msgspec.Struct, frozen=True, kw_only=True):
    """A URL for a shop's own JSON. `fields` are dotted paths into it: `order.total_price`, `notes.0.value`."""

    id: int
    profile_id: int
    label: str
    name: str
    fields: "HookFieldPaths"
    created_at: datetime


class HookFieldPaths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The path of each of a conversion's fields; null for a field that the JSON does not have."""

    click_id: str = "click_id"
    order_id: str | None = "order_id"
    value: str | None = "value"
    currency: str | None = "currency"


class ResolvedHook(NamedTuple):
    """The hook that a token belongs to."""

    tenant_id: int
    profile_id: int
    name: str
    fields: HookFieldPaths


class HookDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A hook to be created. `name` is the name of its conversions."""

    label: Annotated[str, StandIn("")]
    name: str = "sale"
    fields: HookFieldPaths = HookFieldPaths()


def errors(draft: ConversionDraft, click: ClickId | None, now: datetime) -> list[FieldError]:
    """Return the errors of a draft; `click` is None if its click id could not be opened."""
    field_errors = text_errors(draft.order_id, "order_id", MAX_ORDER_CHARS)
    field_errors += name_errors(draft.name)
    if click is None:
        field_errors.append(FieldError("click_id", "must be a click id of this server"))
    if draft.value is not None and not (
        draft.value.is_finite()
        and 0 <= draft.value < MAX_VALUE
        and draft.value == round(draft.value, PLACES)
    ):
        reason = f"must be from 0 to below {MAX_VALUE:,.0f}, with at most {PLACES} decimal places"
        field_errors.append(FieldError("value", reason))
    if (draft.value is None) != (draft.currency is None):
        field_errors.append(FieldError("currency", "must be given together with value, or neither"))
    elif draft.currency is not None and _CURRENCY.fullmatch(draft.currency) is None:
        field_errors.append(FieldError("currency", "must be three capitals such as EUR"))
    if draft.at is not None and draft.at.tzinfo is None:
        field_errors.append(FieldError("at", "must have a time zone"))
    elif draft.at is not None:
        field_errors += _time_errors(draft.at, click, now)
    return field_errors


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
    if not conversion.click.experiment_id:
        return "unexposed"
    if attribution_hours is None:
        return "deleted"
    clicked_at = time_of(conversion.click.at_us)
    late = conversion.received_at - clicked_at > MAX_AGE
    expired = conversion.at - clicked_at > timedelta(hours=attribution_hours)
    return "expired" if late or expired else "attributed"


def validate_hook(draft: HookDraft) -> tuple[HookDraft | None, list[FieldError]]:
    """Return the draft and no errors, or None and every error."""
    field_errors = text_errors(draft.label, "label", 200) + name_errors(draft.name)
    for field in HookFieldPaths.__struct_fields__:
        path = getattr(draft.fields, field)
        if path is not None and not 0 < len(path) <= MAX_CHARS:
            field_errors.append(
                FieldError(f"fields.{field}", f"must have 1 to {MAX_CHARS} characters")
            )
        elif path is not None:
            field_errors += text_errors(path, f"fields.{field}", MAX_CHARS)
    return (None, field_errors) if field_errors else (draft, [])


def value_at_path(body: Any, path: str | None) -> str | None:
    """Return the text at a dotted path into JSON, None if it is not there; numbers as they are written."""
    if path is None:
        return None
    for step in path.split("."):
        if isinstance(body, dict):
            body = body.get(step)
        # ASCII only: `isdigit` accepts `²`, and `int` does not.
        elif isinstance(body, list) and step.isascii() and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    if isinstance(body, str):
        return body
    return str(body) if isinstance(body, int | float) and not isinstance(body, bool) else None
