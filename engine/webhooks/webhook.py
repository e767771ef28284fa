"""A webhook: a URL to which a profile's events are sent, signed. Re-exports sign() and allowed_address()."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, get_args

import ada_url
import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.links.target import MAX_URL_CHARS, TargetError, check, is_private_host
from engine.webhooks.circuit_breaker import FAILURE_THRESHOLD
from engine.webhooks.events import SUBSCRIBABLE_NAMES
from engine.webhooks.public_address import allowed_address, is_loopback
from engine.webhooks.signature import sign

__all__ = ["allowed_address", "sign"]

MAX_WEBHOOKS: Final = 20  # of one profile
MAX_DESCRIPTION_CHARS: Final = 200
MAX_EVENT_TYPES: Final = 50
SIGNATURES: Final = ("v1", "v1a")
OLD_SECRET_HOURS: Final = 24
MAX_SECRETS: Final = 10  # valid ones of one webhook
MAX_CONCURRENCY: Final = 100
MAX_RATE_PER_S: Final = 10_000
CircuitState = Literal["closed", "open", "half_open"]
CIRCUIT_STATES: Final[tuple[str, ...]] = get_args(CircuitState)

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
        description="types of events; `link.*`: all types of links; `*`: all types but `link.clicked`",
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
        description="send events in their order, each after the earlier ones were delivered or have failed"
    ),
]
MaxConcurrency = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_CONCURRENCY,
        description="concurrent requests, if fewer than the server's setting",
    ),
]
MaxRate = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_RATE_PER_S,
        description="requests per second, if fewer than the server's setting",
    ),
]
SignatureScheme = Annotated[
    str,
    msgspec.Meta(
        description="v1: HMAC-SHA256; v1a: ed25519, for receivers that must not be able to sign",
        extra_json_schema={"enum": list(SIGNATURES)},
    ),
]
Enabled = Annotated[bool, msgspec.Meta(description="false: nothing is sent")]


class WebhookDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as a request wants it. Its signature scheme cannot be changed."""

    url: Annotated[WebhookUrl, StandIn("https://a.example/")]
    event_types: Annotated[EventTypes, StandIn(("*",))]
    description: Description = ""
    ordered: Ordered = False
    max_concurrency: MaxConcurrency | None = None
    max_rate: MaxRate | None = None
    enabled: Enabled = True


class NewWebhookDraft(WebhookDraft, frozen=True, kw_only=True):
    """A webhook to be created, with its signature scheme."""

    signature: SignatureScheme = "v1"


Draft = TypeVar("Draft", bound=WebhookDraft)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A stored webhook. `public_key` is set for the signature scheme v1a only.

    `failing_since` is None after a success. `failures` counts those in a row, and `rests_until` is the end of
    the rest of its circuit breaker, None: it does not rest; none of the three changes the version.
    """

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
    failing_since: datetime | None = None
    failures: int = 0
    rests_until: datetime | None = None

    @property
    def circuit_state(self) -> CircuitState:
        """The state of the circuit breaker, by its last recorded attempt."""
        if self.failures < FAILURE_THRESHOLD:
            return "closed"
        return "half_open" if self.rests_until is None else "open"


class DeliveryFilter(NamedTuple):
    """The conditions of a list of deliveries; None: any. Events happened from `start` to before `end`."""

    state: str | None = None
    type: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class NewSecret(NamedTuple):
    """A webhook with its new secret. `secret` is None for ed25519: receivers only need the public key."""

    webhook: Webhook
    secret: str | None


def validate_draft(
    draft: Draft, *, loopback: bool = False
) -> tuple[Draft | None, list[FieldError]]:
    """Return the draft normalised, or None and all errors. `loopback`: this machine's own addresses are
    allowed, and plain http to them."""
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
    """Return a webhook's URL normalised. Raises TargetError with the reason.

    The sender checks a host's addresses again before each request. This check only reports early which URLs
    can never work.
    """
    url = ada_url.URL(check(text, max_chars=MAX_URL_CHARS))
    host = url.hostname.strip("[]")
    is_own = loopback and (is_loopback(host) or host == "localhost" or host.endswith(".localhost"))
    if url.hash or text.rstrip(" ").endswith("#"):
        raise TargetError("must not have a fragment (#…), which is never sent")
    if url.port == "0":
        raise TargetError("must not have port 0")
    if is_own:
        return url.href
    if url.protocol != "https:":
        raise TargetError("must start with https://")
    is_address = ":" in host or host.replace(".", "").isdigit()
    if not allowed_address(host) if is_address else is_private_host(host):
        raise TargetError("must lead to a host on the public internet")
    return url.href


def _limit_errors(field: str, limit: int | None, max_limit: int) -> list[FieldError]:
    if limit is None or 1 <= limit <= max_limit:
        return []
    return [FieldError(field, f"must be null or from 1 to {max_limit}")]


def _type_errors(types: list[str]) -> list[FieldError]:
    if not 1 <= len(types) <= MAX_EVENT_TYPES:
        return [FieldError("event_types", f"must name 1 to {MAX_EVENT_TYPES} types, or *")]
    unknown: list[Any] = [name for name in types if name not in SUBSCRIBABLE_NAMES]
    if unknown:
        reason = f"must be of those that GET /v1/event-types lists, not {unknown[0][:64]!r}"
        return [FieldError("event_types", reason)]
    return []
