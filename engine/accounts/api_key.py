"""API keys: credentials for scripts. A key acts for its user, within its scopes, until it expires."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from engine.accounts.access import Caller, Scope, require_scope, scope_errors
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, ForbiddenError
from engine.common.origins import MAX_ORIGINS, origin_errors
from engine.common.text_rules import text_errors

MAX_KEYS: Final = 100  # working keys of one user
MAX_LABEL_CHARS: Final = 200


Origins = Annotated[
    list[str],
    msgspec.Meta(
        description=f"origins of pages that may use the key in a browser, at most {MAX_ORIGINS}"
    ),
]


class KeyDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An API key to be made. Without `expires_at` it works until it is revoked."""

    label: Annotated[str, StandIn("")]
    scopes: Annotated[list[str], StandIn(())]
    expires_at: datetime | None = None
    origins: Origins = []


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as its user sees it. Of its text only `prefix` is stored."""

    id: int
    prefix: str
    label: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    origins: tuple[str, ...] = ()


class NewKey(NamedTuple):
    """An API key that was just made. `text` is the credential itself: no later response has it."""

    key: ApiKey
    text: str


_Validated: TypeAlias = tuple[KeyDraft | None, list[FieldError]]


def key_validator(now: Callable[[], datetime]) -> Callable[[KeyDraft], _Validated]:
    """Return a function that validates a draft by the clock `now`: it returns the draft, or None and all
    errors."""

    def validate(draft: KeyDraft) -> _Validated:
        errors = text_errors(draft.label, "label", MAX_LABEL_CHARS) + scope_errors(draft.scopes)
        if not draft.label.strip():
            errors.append(FieldError("label", "must say what the key is for"))
        errors += origin_errors(draft.origins)
        if draft.expires_at is not None:
            errors += _expiry_errors(draft.expires_at, now())
        return (None, errors) if errors else (draft, [])

    return validate


def require_scopes(caller: Caller, scopes: list[str]) -> None:
    """Raise ForbiddenError unless the caller may manage keys, and has each scope of a new key."""
    require_scope(caller, "admin")
    missing = [scope for scope in scopes if scope not in caller.scopes]
    if missing:
        raise ForbiddenError(f"this key lacks the scope {missing[0]!r} and cannot pass it on")


def _expiry_errors(expires_at: datetime, now: datetime) -> list[FieldError]:
    if expires_at.tzinfo is None:
        return [FieldError("expires_at", "must have an offset, as in 2026-12-31T00:00:00Z")]
    if expires_at <= now:
        return [FieldError("expires_at", "must be in the future")]
    return []
