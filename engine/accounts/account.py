"""Users: their email address, password and name, and their sessions of the dashboard.

Email addresses are stored and compared in lower case. A password may be any text of sufficient length: its
length makes it hard to guess, and rules about characters make people choose worse ones.
"""

import re
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import hidden_character, text_errors

MIN_PASSWORD_CHARS: Final = 10
MAX_PASSWORD_CHARS: Final = 1000
MAX_EMAIL_CHARS: Final = 254
MAX_NAME_CHARS: Final = 200
MAX_USER_AGENT_CHARS: Final = 200
MAX_SESSIONS: Final = 50  # of one user; the next login ends the oldest
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, with its home tenant. `version` grows with each change."""

    id: int
    tenant_id: int
    email: str
    name: str
    version: int
    created_at: datetime
    updated_at: datetime


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login, as its user sees it. Only the browser has its token."""

    id: int
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class NewSession(NamedTuple):
    """A session that has just begun. `token` is the value of its cookie."""

    user: User
    session: Session
    token: str


class LoginDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A login attempt."""

    email: Annotated[str, StandIn("")]
    password: Annotated[str, StandIn("")]


class PasswordDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A change of password: the current one and the new one."""

    current: Annotated[str, StandIn("")]
    new: Annotated[str, StandIn("")]


class UserDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an account that its user may change."""

    name: Annotated[str, StandIn("")]


def validate_login(draft: LoginDraft) -> tuple[LoginDraft | None, list[FieldError]]:
    """Return the draft with its address in lower case, or None and all errors.

    The rules of new passwords do not apply: a password that was accepted once must go on working.
    """
    errors = email_errors(draft.email) + _length_errors(draft.password, "password", 0)
    if errors:
        return None, errors
    return LoginDraft(email=draft.email.lower(), password=draft.password), []


def validate_password(draft: PasswordDraft) -> tuple[PasswordDraft | None, list[FieldError]]:
    """Return the draft, or None and all errors."""
    errors = _length_errors(draft.current, "current", 0) + password_errors(draft.new, "new")
    return (None, errors) if errors else (draft, [])


def validate_user(draft: UserDraft) -> tuple[UserDraft | None, list[FieldError]]:
    """Return the draft, or None and its errors."""
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    return (None, errors) if errors else (draft, [])


def email_errors(email: str) -> list[FieldError]:
    """Return the errors of an email address. Only a message to it can tell whether it exists."""
    if len(email) > MAX_EMAIL_CHARS or len(email.lower()) > MAX_EMAIL_CHARS:
        return [FieldError("email", f"must have at most {MAX_EMAIL_CHARS} characters")]
    if _EMAIL.fullmatch(email) is None or hidden_character(email) is not None:
        return [FieldError("email", "must be an email address, as in ada@example.com")]
    return []


def password_errors(password: str, field: str = "password") -> list[FieldError]:
    """Return the errors of a new password."""
    return _length_errors(password, field, MIN_PASSWORD_CHARS)


def clean_user_agent(header: str) -> str:
    """Return a User-Agent without control characters, cut to MAX_USER_AGENT_CHARS, for lists of sessions."""
    return _CONTROL.sub("", header)[:MAX_USER_AGENT_CHARS]


def _length_errors(text: str, field: str, min_chars: int) -> list[FieldError]:
    if len(text) < min_chars:
        return [FieldError(field, f"must have at least {min_chars} characters")]
    if len(text) > MAX_PASSWORD_CHARS:
        return [FieldError(field, f"must have at most {MAX_PASSWORD_CHARS} characters")]
    return []
