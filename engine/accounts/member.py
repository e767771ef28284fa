"""Teams: a profile's members, and the invitations by which people join.

The words for who may do what are in engine/accounts/access.py. On top of that table: only owners make or unmake
owners, everybody may leave, and a profile always has an owner.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, NoReturn, get_args

import msgspec

from engine.accounts.access import MAX_MEMBERS, ROLES, Caller, MemberRole
from engine.accounts.account import NewSession, email_errors, password_errors
from engine.common.drafts import StandIn
from engine.common.errors import ConflictError, FieldError, ForbiddenError, NotFoundError
from engine.common.text_rules import text_errors

MAX_INVITATIONS: Final = 50  # of one profile, of those that are open
DEFAULT_EXPIRY_DAYS: Final = 7
MAX_EXPIRY_DAYS: Final = 90
MAX_NAME_CHARS: Final = 200

InvitedRole = Literal["admin", "editor", "viewer"]
InvitationOutcome = Literal["joined", "unknown", "used", "expired", "member", "full"]
INVITED_ROLES: Final[tuple[InvitedRole, ...]] = get_args(InvitedRole)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a profile's team; `version` grows with each change of their role."""

    user_id: int
    email: str
    name: str
    role: MemberRole
    version: int
    created_at: datetime
    updated_at: datetime


class RoleDraft(msgspec.Struct, frozen=True, kw_only=True):
    role: Annotated[str, StandIn("")]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation that is open. Its token is known to whom it was told only."""

    id: int
    profile_id: int
    email: str
    role: str
    invited_by: int
    created_at: datetime
    expires_at: datetime


class InvitationDraft(msgspec.Struct, frozen=True, kw_only=True):
    email: Annotated[str, StandIn("")]
    role: Annotated[str, StandIn("")]
    expires_in_days: int = DEFAULT_EXPIRY_DAYS


class InvitationPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What an invitation says to whom it was sent."""

    profile_id: int
    handle: str
    title: str
    email: str
    role: str
    expires_at: datetime


class AcceptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """`password` and `name` make an account, for who has none."""

    token: Annotated[str, StandIn("")]
    password: str | None = None
    name: str = ""


class JoinResult(NamedTuple):
    """Whoever accepted is in; `login` is there when an account was made for it."""

    profile_id: int
    role: str
    login: NewSession | None = None


def validate_role(draft: RoleDraft) -> tuple[RoleDraft | None, list[FieldError]]:
    errors = _role_errors(draft.role, ROLES)
    return (None, errors) if errors else (draft, [])


def validate_invitation(
    draft: InvitationDraft,
) -> tuple[InvitationDraft | None, list[FieldError]]:
    errors = email_errors(draft.email) + _role_errors(draft.role, INVITED_ROLES)
    if not 1 <= draft.expires_in_days <= MAX_EXPIRY_DAYS:
        reason = f"must be between 1 and {MAX_EXPIRY_DAYS}"
        errors.append(FieldError("expires_in_days", reason))
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, email=draft.email.lower()), []


def validate_accept(draft: AcceptDraft) -> tuple[AcceptDraft | None, list[FieldError]]:
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    if draft.password is not None:
        errors += password_errors(draft.password)
    return (None, errors) if errors else (draft, [])


def require_owner(role: str, *concerned: str) -> None:
    """Raises ForbiddenError when a role concerned is the owner's, and who acts is none."""
    if "owner" in concerned and role != "owner":
        raise ForbiddenError(f"only an owner makes or unmakes owners, not {role}")


def require_other_user(caller: Caller, user_id: int) -> None:
    """Raises ConflictError for who would hand over to themselves."""
    if caller.user_id == user_id:
        raise ConflictError("user_id", "is yourself; name another member")


def last_owner_error() -> ConflictError:
    return ConflictError("role", "a profile needs an owner; make another member one first")


def raise_refusal(outcome: str) -> NoReturn:
    """Say why an invitation was not accepted."""
    if outcome == "unknown":
        raise NotFoundError.of("invitation")
    raise ConflictError("token", _REASONS[outcome])


def _role_errors(role: str, known: tuple[str, ...]) -> list[FieldError]:
    return [] if role in known else [FieldError("role", f"must be one of {', '.join(known)}")]


_REASONS: Final = {
    "used": "has been used",
    "expired": "has expired; ask for a new invitation",
    "member": "is for a profile that you are a member of already",
    "full": f"is for a profile that has {MAX_MEMBERS} members, which is the most",
}
