"""Access: callers, the roles of a profile's members, the scopes of API keys, and one table of both.

A member's role says what they may do with a profile. An API key may do what its user may, as far as its scopes
allow. A caller who is not a member gets NotFoundError, as if there were no such profile; a member whose role
or key does not suffice gets ForbiddenError.
"""

from enum import Enum
from typing import Final, Literal, NamedTuple, get_args

from engine.common.errors import FieldError, ForbiddenError

MAX_MEMBERS: Final = 10

MemberRole = Literal["owner", "admin", "editor", "viewer"]
Scope = Literal["read", "write", "admin"]
ROLES: Final[tuple[MemberRole, ...]] = get_args(MemberRole)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


class Caller(NamedTuple):
    """The user that a request acts for, with their home tenant, and the API key that it was sent with.

    `key_id` is None for a session, which has every scope. Pages of `origins` may use the key in a browser.
    """

    tenant_id: int
    user_id: int
    key_id: int | None = None
    scopes: tuple[Scope, ...] = SCOPES
    request_id: str = ""
    origins: tuple[str, ...] = ()


class Requirement(NamedTuple):
    """The condition of an action: one of `roles`, and a key with `scope`. `phrase` names it in messages."""

    phrase: str
    roles: tuple[MemberRole, ...]
    scope: Scope


_ALL: Final = ROLES
_EDITORS: Final[tuple[MemberRole, ...]] = ("owner", "admin", "editor")
_ADMINS: Final[tuple[MemberRole, ...]] = ("owner", "admin")
_OWNER: Final[tuple[MemberRole, ...]] = ("owner",)


class Action(Enum):
    """The actions on a profile. docs/api.md shows this table to users."""

    READ = Requirement("read a profile, its links, statistics and members", _ALL, "read")
    EDIT = Requirement("change a profile or its links", _EDITORS, "write")
    READ_ACTIVITY = Requirement("read the log of changes", _EDITORS, "read")
    MANAGE_MEMBERS = Requirement("invite, change or remove members", _ADMINS, "admin")
    MANAGE_DOMAINS = Requirement("add, change or delete domains", _ADMINS, "admin")
    MANAGE_WEBHOOKS = Requirement("see or change webhooks", _ADMINS, "admin")
    MANAGE_SHARES = Requirement("see, make or revoke shares of statistics", _ADMINS, "admin")
    MANAGE_SUBSCRIBERS = Requirement("see or delete addresses that visitors left", _ADMINS, "admin")
    ARCHIVE = Requirement("export all data of a profile", _OWNER, "admin")
    DELETE = Requirement("delete a profile", _OWNER, "admin")
    TRANSFER = Requirement("hand over a profile", _OWNER, "admin")


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raise ForbiddenError unless the caller's key has this scope."""
    if scope not in caller.scopes:
        raise ForbiddenError(f"this key does not have the scope {scope!r}")


def require(caller: Caller, role: str, action: Action) -> None:
    """Raise ForbiddenError unless a member with this role, by the caller's key, may take the action."""
    phrase, roles, scope = action.value
    if role not in roles:
        raise ForbiddenError(f"to {phrase} takes the role {' or '.join(roles)}, not {role}")
    require_scope(caller, scope)


def scope_errors(scopes: list[str], field: str = "scopes") -> list[FieldError]:
    """Return the errors of a new key's scopes."""
    choices = ", ".join(SCOPES)
    if not scopes:
        return [FieldError(field, f"must name at least one of {choices}")]
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        return [FieldError(field, f"must be of {choices}, not {unknown[0][:32]!r}")]
    if len(set(scopes)) < len(scopes):
        return [FieldError(field, "must name each scope once")]
    return []
