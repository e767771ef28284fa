"""A webhook: where a profile's events are sent, signed. `sign` and `allowed_address` stand here for others."""

from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import ada_url
import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.links.target import TargetError, is_private_host, validate_target
from engine.webhooks.events import SUBSCRIBABLE_NAMES
from engine.webhooks.public_address import allowed_address, is_loopback
from engine.webhooks.signature import sign

__all__ = ["allowed_address", "sign"]

MAX_WEBHOOKS: Final = 20  # of one profile
MAX_URL_CHARS: Final = 2048
MAX_DESCRIPTION_CHARS: Final = 200
MAX_EVENT_TYPES: Final = 50
SIGNATURES: Final = ("v1", "v1a")
OLD_SECRET_HOURS: Final = 24
MAX_SECRETS: Final = 10  # that sign at the same time
MAX_CONCURRENCY: Final = 100
MAX_RATE_PER_S: Final = 10_000

WebhookUrl = Annotated[
    str,
    msgspec.Meta(
        description="an https URL on the public internet, without credentials and fragment",
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_URL_CHARS,
            "pattern": "^ *[Hh][Tt][Tt][Pp][Ss]?:",
            "examples": ["https://example.com/hooks"],
        },
    ),
]
Description = Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_DESCRIPTION_CHARS))]
EventTypes = Annotated[
    list[str],
    msgspec.Meta(
        description="types of events, all of a kind as `link.*`, or `*`: all but `link.clicked`",
        extra_json_schema={
            "items": {"enum": list(SUBSCRIBABLE_NAMES)},
            "minItems": 1,
            "maxItems": MAX_EVENT_TYPES,
            "uniqueItems": True,
        },
    ),
]
Ordered = Annotated[
    bool,
    msgspec.Meta(
        description="one event after the other: none is sent before the earlier ones are delivered or "
        "given up"
    ),
]
MaxConcurrency = Annotated[
    int,
    msgspec.Meta(
        ge=1, le=MAX_CONCURRENCY, description="requests at once, if fewer than the server's setting"
    ),
]
MaxRate = Annotated[
    int,
    msgspec.Meta(
        ge=1, le=MAX_RATE_PER_S, description="requests a second, if fewer than the server's setting"
    ),
]
SignatureScheme = Annotated[
    str,
    msgspec.Meta(
        description="v1: HMAC-SHA256; v1a: ed25519, for receivers that shall not be able to sign",
        extra_json_schema={"enum": list(SIGNATURES)},
    ),
]
Enabled = Annotated[bool, msgspec.Meta(description="false: nothing is sent")]


class WebhookDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants a webhook to be. The kind of its signature stays as it was made."""

    url: Annotated[WebhookUrl, StandIn("https://a.example/")]
    event_types: Annotated[EventTypes, StandIn(("*",))]
    description: Description = ""
    ordered: Ordered = False
    max_concurrency: MaxConcurrency | None = None
    max_rate: MaxRate | None = None
    enabled: Enabled = True


class NewWebhookDraft(WebhookDraft, frozen=True, kw_only=True):
    signature: SignatureScheme = "v1"


Draft = TypeVar("Draft", bound=WebhookDraft)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A stored webhook. `public_key` is there for v1a."""

    id: int
    profile_id: int
    url: str
    description: str
    event_types: tuple[str, ...]
    ordered: bool
    max_concurrency: int | None
    max_rate: int | None
    enabled: bool
    signature: str
    disabled_reason: str | None
    public_key: str | None
    secret_changed_at: datetime
    version: int
    created_at: datetime
    updated_at: datetime


class DeliveryFilter(NamedTuple):
    """Which deliveries to show; None: all."""

    state: str | None = None
    type: str | None = None


class NewSecret(NamedTuple):
    """`secret` is None for ed25519: there is a public key instead, and nobody needs the other."""

    webhook: Webhook
    secret: str | None


def validate_draft(
    draft: Draft, *, loopback: bool = False
) -> tuple[Draft | None, list[FieldError]]:
    """The draft normalised, or every error at once. `loopback`: this machine's own addresses are allowed,
    and plain http to them."""
    errors = text_errors(draft.description, "description", MAX_DESCRIPTION_CHARS)
    errors += _type_errors(draft.event_types)
    errors += _limit_errors("max_concurrency", draft.max_concurrency, MAX_CONCURRENCY)
    errors += _limit_errors("max_rate", draft.max_rate, MAX_RATE_PER_S)
    if isinstance(draft, NewWebhookDraft) and draft.signature not in SIGNATURES:
        errors.append(FieldError("signature", "must be v1 or v1a"))
    url = draft.url
    try:
        url = validate_url(url, loopback=loopback)
    except TargetError as error:
        errors.append(FieldError("url", str(error)))
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, url=url, event_types=sorted(set(draft.event_types))), []


def validate_url(text: str, *, loopback: bool = False) -> str:
    """Normalise a webhook's URL, or raise TargetError with the reason.

    A host by name is judged again by its addresses when something is sent: this is to say early what
    would never work.
    """
    url = ada_url.URL(validate_target(text))
    host = url.hostname.strip("[]")
    own = loopback and (is_loopback(host) or host == "localhost" or host.endswith(".localhost"))
    if url.hash or text.rstrip(" ").endswith("#"):
        raise TargetError("must not have a fragment (#…), which is never sent")
    if url.port == "0":
        raise TargetError("must not have port 0")
    if own:
        return url.href
    if url.protocol != "https:":
        raise TargetError("must start with https://")
    is_address = ":" in host or host.replace(".", "").isdigit()
    if not allowed_address(host) if is_address else is_private_host(host):
        raise TargetError("leads to a host that is not on the public internet")
    return url.href


def _limit_errors(field: str, limit: int | None, most: int) -> list[FieldError]:
    if limit is None or 1 <= limit <= most:
        return []
    return [FieldError(field, f"must be null or from 1 to {most}")]


def _type_errors(types: list[str]) -> list[FieldError]:
    if not 1 <= len(types) <= MAX_EVENT_TYPES:
        return [FieldError("event_types", f"must name 1 to {MAX_EVENT_TYPES} types, or *")]
    unknown: list[Any] = [one for one in types if one not in SUBSCRIBABLE_NAMES]
    if unknown:
        return [
            FieldError(
                "event_types", f"{unknown[0][:64]!r} is none; GET /v1/event-types lists them"
            )
        ]
    return []
