"""API keys: what people give to scripts. A key acts for its user, within its scopes, until it ends."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from engine.accounts.access import Caller, Scope, require_scope, scope_errors
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, ForbiddenError
from engine.common.text_rules import text_errors

MAX_KEYS: Final = 100  # of one user, of those that still work
MAX_LABEL_CHARS: Final = 200


class KeyDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants a key to be. Without `expires_at` it works until it is revoked."""

    label: Annotated[str, StandIn("")]
    scopes: Annotated[list[str], StandIn(())]
    expires_at: datetime | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its user sees it. Of the key itself only `prefix` is known."""

    id: int
    prefix: str
    label: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class NewKey(NamedTuple):
    """`text` is the key itself, shown this once."""

    key: ApiKey
    text: str


_Checked: TypeAlias = tuple[KeyDraft | None, list[FieldError]]


def key_validator(now: Callable[[], datetime]) -> Callable[[KeyDraft], _Checked]:
    """What judges a draft by the clock `now`."""

    def checked(draft: KeyDraft) -> _Checked:
        errors = text_errors(draft.label, "label", MAX_LABEL_CHARS) + scope_errors(draft.scopes)
        if not draft.label.strip():
            errors.append(FieldError("label", "must say what the key is for"))
        if draft.expires_at is not None:
            errors += _expiry_errors(draft.expires_at, now())
        return (None, errors) if errors else (draft, [])

    return checked


def require_scopes(caller: Caller, scopes: list[str]) -> None:
    """Raises ForbiddenError unless the caller may manage keys, and has each scope of a new one."""
    require_scope(caller, "admin")
    missing = [scope for scope in scopes if scope not in caller.scopes]
    if missing:
        raise ForbiddenError(f"a key cannot make one with a scope that it lacks: {missing[0]}")


def _expiry_errors(expires_at: datetime, now: datetime) -> list[FieldError]:
    if expires_at.tzinfo is None:
        return [FieldError("expires_at", "must have an offset, as in 2026-12-31T00:00:00Z")]
    if expires_at <= now:
        return [FieldError("expires_at", "must be in the future")]
    return []
