"""Who acts, and what they may do: roles of a profile's members, scopes of keys, one table of both.

A member's role says what they may do with a profile. A key does what its user may, and no more than its
scopes allow. Whoever is not a member is told that there is no such profile; a member whose role or key
does not suffice is told so.
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
    """Who asks: a user, at home in a tenant, by a key or a session (then `key_id` is None).

    A session has every scope.
    """

    tenant_id: int
    user_id: int
    key_id: int | None = None
    scopes: tuple[Scope, ...] = SCOPES
    request_id: str = ""


class Requirement(NamedTuple):
    """What an action takes: one of these roles, and a key of this scope. `words` name it."""

    words: str
    roles: tuple[MemberRole, ...]
    scope: Scope


_ALL: Final = ROLES
_EDITORS: Final[tuple[MemberRole, ...]] = ("owner", "admin", "editor")
_ADMINS: Final[tuple[MemberRole, ...]] = ("owner", "admin")
_OWNER: Final[tuple[MemberRole, ...]] = ("owner",)


class Action(Enum):
    """What can be done with a profile. docs/api.md shows this table to users."""

    READ = Requirement("read a profile, its links, statistics and members", _ALL, "read")
    EDIT = Requirement("change a profile or its links", _EDITORS, "write")
    READ_ACTIVITY = Requirement("read the log of changes", _EDITORS, "read")
    MANAGE_MEMBERS = Requirement("invite, change or remove members", _ADMINS, "admin")
    MANAGE_WEBHOOKS = Requirement("see or change webhooks", _ADMINS, "admin")
    ARCHIVE = Requirement("export all that is kept of a profile", _OWNER, "admin")
    DELETE = Requirement("delete a profile", _OWNER, "admin")
    TRANSFER = Requirement("hand over a profile", _OWNER, "admin")


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raises ForbiddenError unless the caller's key may act in this scope."""
    if scope not in caller.scopes:
        raise ForbiddenError(f"this key does not have the scope {scope!r}")


def require(caller: Caller, role: str, action: Action) -> None:
    """Raises ForbiddenError unless a member of this role, by this key, may do this."""
    words, roles, scope = action.value
    if role not in roles:
        raise ForbiddenError(f"to {words} takes the role {' or '.join(roles)}, not {role}")
    require_scope(caller, scope)


def scope_errors(scopes: list[str], field: str = "scopes") -> list[FieldError]:
    """What is wrong with a new key's scopes."""
    known = ", ".join(SCOPES)
    if not scopes:
        return [FieldError(field, f"must name at least one of {known}")]
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        return [FieldError(field, f"{unknown[0][:32]!r} is not one of {known}")]
    if len(set(scopes)) < len(scopes):
        return [FieldError(field, "names a scope twice")]
    return []
