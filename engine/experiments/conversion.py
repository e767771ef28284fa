"""A conversion: what somebody did after a click, as the owner of the click's target tells it.

It is known by the click's id, its name and its order: the same again changes nothing, whatever its value.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

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
MAX_AGE: Final = timedelta(days=31)  # after the click; then nothing tells visitors apart any more
_CURRENCY: Final = re.compile("[A-Z]{3}")


class ConversionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What is told. `at` None: now."""

    click_id: Annotated[
        str,
        msgspec.Meta(description="the value of `wp_click` that the target was called with"),
        StandIn(""),
    ]
    name: Annotated[str, msgspec.Meta(description="what was done, such as `sale`")] = "conversion"
    order_id: Annotated[
        str, msgspec.Meta(description="tells several of one name by one click apart")
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
    """What became of one: `duplicate` that it was there already, with the attribution of then."""

    attribution: Attribution
    duplicate: bool


class Conversion(NamedTuple):
    """One as it is kept. Of one in no experiment, the last three are None."""

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
    arm: int | None = None


class ConversionHook(msgspec.Struct, frozen=True, kw_only=True):
    """A URL for a shop's own JSON. `fields` are dotted paths into it: `order.total_price`, `notes.0.value`."""

    id: int
    profile_id: int
    label: str
    name: str
    fields: "HookFieldPaths"
    created_at: datetime


class HookFieldPaths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each of a conversion's fields stands; null for what is not there."""

    click_id: str = "click_id"
    order_id: str | None = "order_id"
    value: str | None = "value"
    currency: str | None = "currency"


class ResolvedHook(NamedTuple):
    """What its token opens."""

    tenant_id: int
    profile_id: int
    name: str
    fields: HookFieldPaths


class HookDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants a hook to be. `name` is that of its conversions."""

    label: Annotated[str, StandIn("")]
    name: str = "sale"
    fields: HookFieldPaths = HookFieldPaths()


def errors(draft: ConversionDraft, click: ClickId | None, now: datetime) -> list[FieldError]:
    """What is wrong with it; `click` is None when its id could not be opened."""
    found = text_errors(draft.order_id, "order_id", MAX_ORDER_CHARS)
    found += name_errors(draft.name)
    if click is None:
        found.append(FieldError("click_id", "is not a click id of this server"))
    if draft.value is not None and not (
        draft.value.is_finite()
        and 0 <= draft.value < MAX_VALUE
        and draft.value == round(draft.value, PLACES)
    ):
        reason = f"must be from 0 to below {MAX_VALUE:,.0f}, with at most {PLACES} decimal places"
        found.append(FieldError("value", reason))
    if (draft.value is None) != (draft.currency is None):
        found.append(FieldError("currency", "and value must be given both, or none"))
    elif draft.currency is not None and _CURRENCY.fullmatch(draft.currency) is None:
        found.append(FieldError("currency", "must be three capitals such as EUR"))
    if draft.at is not None and draft.at.tzinfo is None:
        found.append(FieldError("at", "must say its time zone"))
    elif draft.at is not None:
        found += _time_errors(draft.at, click, now)
    return found


def _time_errors(at: datetime, click: ClickId | None, now: datetime) -> list[FieldError]:
    if at > now + MAX_CLOCK_SKEW:
        return [FieldError("at", "is in the future")]
    if click is not None and at.timestamp() < click.at_us / 1e6 - MAX_CLOCK_SKEW.total_seconds():
        return [FieldError("at", "is before the click")]
    return []


def name_errors(name: str, field: str = "name") -> list[FieldError]:
    if not name:
        return [FieldError(field, "must not be empty")]
    return text_errors(name, field, MAX_NAME_CHARS)


def attribution_of(told: VerifiedConversion, attribution_hours: int | None) -> Attribution:
    """Whether it counts in its click's experiment, whose window is given; None: there is none any more."""
    if not told.click.experiment_id:
        return "unexposed"
    if attribution_hours is None:
        return "deleted"
    clicked_s = told.click.at_us / 1e6
    late = told.received_at.timestamp() - clicked_s > MAX_AGE.total_seconds()
    expired = told.at.timestamp() - clicked_s > attribution_hours * 3600
    return "expired" if late or expired else "attributed"


def validate_hook(draft: HookDraft) -> tuple[HookDraft | None, list[FieldError]]:
    """The draft, or every error at once."""
    found = text_errors(draft.label, "label", 200) + name_errors(draft.name)
    for field in HookFieldPaths.__struct_fields__:
        path = getattr(draft.fields, field)
        if path is not None and not 0 < len(path) <= MAX_CHARS:
            found.append(FieldError(f"fields.{field}", f"must have 1 to {MAX_CHARS} characters"))
        elif path is not None:
            found += text_errors(path, f"fields.{field}", MAX_CHARS)
    return (None, found) if found else (draft, [])


def value_at_path(body: Any, path: str | None) -> str | None:
    """The text at a dotted path into JSON; numbers as they are written, None for what is not there."""
    if path is None:
        return None
    for step in path.split("."):
        if isinstance(body, dict):
            body = body.get(step)
        # ASCII, as `isdigit` takes `²` for one, too, and `int` does not.
        elif isinstance(body, list) and step.isascii() and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    if isinstance(body, str):
        return body
    return str(body) if isinstance(body, int | float) and not isinstance(body, bool) else None
