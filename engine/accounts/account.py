"""People: what they log in with, what they are called, and their sessions of the dashboard.

Email addresses are kept and compared in lower case. A password may be anything of a good length: what
makes it hard to guess is its length, and rules about characters make people choose worse ones.
"""

import re
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors

MIN_PASSWORD_CHARS: Final = 10
MAX_PASSWORD_CHARS: Final = 1000
MAX_EMAIL_CHARS: Final = 254
MAX_NAME_CHARS: Final = 200
MAX_USER_AGENT_CHARS: Final = 200
MAX_SESSIONS: Final = 50  # of one user; one more ends the oldest
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an account, at home in a tenant. `version` grows with each change."""

    id: int
    tenant_id: int
    email: str
    name: str
    version: int
    created_at: datetime
    updated_at: datetime


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One login, as its user sees it. Its token is known to the browser only."""

    id: int
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class NewSession(NamedTuple):
    """A session that has just begun; `token` is what its cookie holds."""

    user: User
    session: Session
    token: str


class LoginDraft(msgspec.Struct, frozen=True, kw_only=True):
    email: Annotated[str, StandIn("")]
    password: Annotated[str, StandIn("")]


class PasswordDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The password one has, and the one wanted."""

    current: Annotated[str, StandIn("")]
    new: Annotated[str, StandIn("")]


class UserDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may change of their account."""

    name: Annotated[str, StandIn("")]


def validate_login(draft: LoginDraft) -> tuple[LoginDraft | None, list[FieldError]]:
    """No rules of new passwords here: whatever was accepted once must go on to work."""
    errors = email_errors(draft.email) + _length_errors(draft.password, "password", 0)
    if errors:
        return None, errors
    return LoginDraft(email=draft.email.lower(), password=draft.password), []


def validate_password(draft: PasswordDraft) -> tuple[PasswordDraft | None, list[FieldError]]:
    errors = _length_errors(draft.current, "current", 0) + password_errors(draft.new, "new")
    return (None, errors) if errors else (draft, [])


def validate_user(draft: UserDraft) -> tuple[UserDraft | None, list[FieldError]]:
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    return (None, errors) if errors else (draft, [])


def email_errors(email: str) -> list[FieldError]:
    """What is wrong with an address. Whether it exists is for a message to find out."""
    if len(email) > MAX_EMAIL_CHARS or len(email.lower()) > MAX_EMAIL_CHARS:
        return [FieldError("email", f"must have at most {MAX_EMAIL_CHARS} characters")]
    if _EMAIL.fullmatch(email) is None:
        return [FieldError("email", "must be an email address, as in ada@example.com")]
    return []


def password_errors(password: str, field: str = "password") -> list[FieldError]:
    """What is wrong with a new password."""
    return _length_errors(password, field, MIN_PASSWORD_CHARS)


def clean_user_agent(header: str) -> str:
    """A User-Agent fit to be stored and shown in a list of sessions."""
    return _CONTROL.sub("", header)[:MAX_USER_AGENT_CHARS]


def _length_errors(text: str, field: str, least: int) -> list[FieldError]:
    if len(text) < least:
        return [FieldError(field, f"must have at least {least} characters")]
    if len(text) > MAX_PASSWORD_CHARS:
        return [FieldError(field, f"must have at most {MAX_PASSWORD_CHARS} characters")]
    return []
