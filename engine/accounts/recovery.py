"""Tokens that give an account a new password, each once: reset tokens, sent by mail, and set-up codes.

The first account is made with a password in a file (owner.json) and GENERATED_EMAIL. While it has that address,
the engine is not set up: whoever has a set-up code, which the start prints, gives it a person's name, address
and password.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.accounts.account import MAX_NAME_CHARS, email_errors, password_errors
from engine.common.drafts import StandIn
from engine.common.errors import ConflictError, FieldError, NotFoundError
from engine.common.text_rules import text_errors

GENERATED_EMAIL: Final = "owner@localhost"
RESET_LIFETIME: Final = timedelta(hours=1)
SETUP_LIFETIME: Final = timedelta(hours=1)
MAX_TOKENS: Final = 5  # of one user and purpose; the next one ends the oldest
RESET_JOB: Final = "password-resets.send"
RESET_ATTEMPTS: Final = 12  # half an hour on average, an hour at most

RecoveryPurpose = Literal["reset", "setup"]


class SetupDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The set-up of the first account: the code that the start printed, and its new name, address and
    password."""

    code: Annotated[str, StandIn("")]
    name: str = ""
    email: Annotated[str, StandIn("")]
    password: Annotated[str, StandIn("")]


class ResetRequestDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a mail with a reset token."""

    email: Annotated[str, StandIn("")]


class ResetDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A new password, by a reset token."""

    token: Annotated[str, StandIn("")]
    password: Annotated[str, StandIn("")]


class IssuedToken(NamedTuple):
    """A token that was just made for a user. It is stored as its SHA-256 only."""

    email: str
    token: str
    expires_at: datetime


def validate_setup(draft: SetupDraft) -> tuple[SetupDraft | None, list[FieldError]]:
    """Return the draft with its address in lower case, or None and all errors."""
    errors = email_errors(draft.email) + text_errors(draft.name, "name", MAX_NAME_CHARS)
    errors += password_errors(draft.password)
    if draft.email.lower() == GENERATED_EMAIL:
        errors.append(FieldError("email", "must be your own address"))
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, email=draft.email.lower()), []


def validate_reset_request(
    draft: ResetRequestDraft,
) -> tuple[ResetRequestDraft | None, list[FieldError]]:
    """Return the draft with its address in lower case, or None and its errors."""
    errors = email_errors(draft.email)
    return (None, errors) if errors else (ResetRequestDraft(email=draft.email.lower()), [])


def validate_reset(draft: ResetDraft) -> tuple[ResetDraft | None, list[FieldError]]:
    """Return the draft, or None and its errors."""
    errors = password_errors(draft.password)
    return (None, errors) if errors else (draft, [])


def unknown_token_error(purpose: RecoveryPurpose) -> NotFoundError:
    """Return the error for a token that is unknown, used or expired: it is the same for all three."""
    return NotFoundError.of("set-up code" if purpose == "setup" else "reset token")


def email_taken_error() -> ConflictError:
    return ConflictError("email", "must not be the address of another account")
