"""Teams: a profile's members, and the invitations by which users join.

engine/accounts/access.py has the table of roles and actions. Three rules stand on top of it: only owners make
or unmake owners, every member may leave, and a profile always has an owner.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, NoReturn, get_args

import msgspec

from engine.accounts.access import MAX_MEMBERS, ROLES, Caller, MemberRole
from engine.accounts.account import NewSession, email_errors, password_errors
from engine.common.drafts import StandIn
from engine.common.errors import ConflictError, FieldError, ForbiddenError, NotFoundError
from engine.common.text_rules import text_errors

MAX_INVITATIONS: Final = 50  # open ones of one profile
DEFAULT_EXPIRY_DAYS: Final = 7
MAX_EXPIRY_DAYS: Final = 90
MAX_NAME_CHARS: Final = 200

InvitedRole = Literal["admin", "editor", "viewer"]
InvitationOutcome = Literal["joined", "unknown", "used", "expired", "member", "full"]
INVITED_ROLES: Final[tuple[InvitedRole, ...]] = get_args(InvitedRole)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a profile's team. `version` grows with each change of the role."""

    user_id: int
    email: str
    name: str
    role: MemberRole
    version: int
    created_at: datetime
    updated_at: datetime


class RoleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The new role of a member."""

    role: Annotated[str, StandIn("")]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation. Only its hashed token is stored: `invite` returns the token once."""

    id: int
    profile_id: int
    email: str
    role: str
    invited_by: int
    created_at: datetime
    expires_at: datetime


class InvitationDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation to be sent: the address, the role that it gives, and its lifetime."""

    email: Annotated[str, StandIn("")]
    role: Annotated[str, StandIn("")]
    expires_in_days: int = DEFAULT_EXPIRY_DAYS


class InvitationPreview(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as its receiver sees it before accepting. `inviter`: the name, or else the address, of the
    member who made it; '' if they have left."""

    profile_id: int
    handle: str
    title: str
    email: str
    role: str
    inviter: str
    expires_at: datetime


class AcceptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The acceptance of an invitation. `password` and `name` make an account for a new user."""

    token: Annotated[str, StandIn("")]
    password: str | None = None
    name: str = ""


class JoinResult(NamedTuple):
    """The membership after an acceptance. `login` is set if an account was made for it."""

    profile_id: int
    role: str
    login: NewSession | None = None


def validate_role(draft: RoleDraft) -> tuple[RoleDraft | None, list[FieldError]]:
    """Return the draft, or None and its errors."""
    errors = _role_errors(draft.role, ROLES)
    return (None, errors) if errors else (draft, [])


def validate_invitation(
    draft: InvitationDraft,
) -> tuple[InvitationDraft | None, list[FieldError]]:
    """Return the draft with its address in lower case, or None and all errors."""
    errors = email_errors(draft.email) + _role_errors(draft.role, INVITED_ROLES)
    if not 1 <= draft.expires_in_days <= MAX_EXPIRY_DAYS:
        reason = f"must be between 1 and {MAX_EXPIRY_DAYS}"
        errors.append(FieldError("expires_in_days", reason))
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, email=draft.email.lower()), []


def validate_accept(draft: AcceptDraft) -> tuple[AcceptDraft | None, list[FieldError]]:
    """Return the draft, or None and all errors."""
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    if draft.password is not None:
        errors += password_errors(draft.password)
    return (None, errors) if errors else (draft, [])


def require_owner(role: str, *affected_roles: str) -> None:
    """Raise ForbiddenError if an affected role is the owner's, and the caller's `role` is not."""
    if "owner" in affected_roles and role != "owner":
        raise ForbiddenError(f"only an owner may make or unmake owners; your role is {role}")


def require_other_user(caller: Caller, user_id: int) -> None:
    """Raise ConflictError if the caller would hand over to themselves."""
    if caller.user_id == user_id:
        raise ConflictError("user_id", "must be another member, not yourself")


def last_owner_error() -> ConflictError:
    """Return the error for a change that would leave a profile without an owner."""
    return ConflictError("role", "must stay owner: a profile needs one; make another owner first")


def raise_refusal(outcome: str) -> NoReturn:
    """Raise the error for an invitation that cannot be accepted, by its InvitationOutcome."""
    if outcome == "unknown":
        raise NotFoundError.of("invitation")
    raise ConflictError("token", _REASONS[outcome])


def _role_errors(role: str, roles: tuple[str, ...]) -> list[FieldError]:
    return [] if role in roles else [FieldError("role", f"must be one of {', '.join(roles)}")]


_REASONS: Final = {
    "used": "was already used",
    "expired": "has expired; ask for a new invitation",
    "member": "must be for a profile that you are not yet a member of",
    "full": f"must be for a profile with fewer than {MAX_MEMBERS} members",
}
