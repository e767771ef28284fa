"""Drafts of accounts, API keys, member roles and invitations: valid and invalid ones."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounts.account import (
    LoginDraft,
    PasswordDraft,
    UserDraft,
    clean_user_agent,
    email_errors,
    validate_login,
    validate_password,
    validate_user,
)
from engine.accounts.api_key import KeyDraft, key_validator
from engine.accounts.member import InvitationDraft, RoleDraft, validate_invitation, validate_role

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "email",
    [
        "a@b",
        "owner@localhost",
        "ada+x@example.com",
        "ådå@exämple.com",
        "x" * 252 + "@b",
        "a'\"@b.c",
    ],
)
def test_valid_addresses_pass(email: str) -> None:
    assert email_errors(email) == []


@pytest.mark.parametrize(
    "email",
    ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b c", "a\n@b", "a@b\x00", "a@b\x85", "x" * 253 + "@b",
     "İ" * 200 + "@b"],
)  # fmt: skip
def test_invalid_addresses_are_refused(email: str) -> None:
    (error,) = email_errors(email)
    assert error.field == "email"


@given(st.text(max_size=300))
def test_a_valid_address_is_stored_in_a_valid_form(email: str) -> None:
    draft, errors = validate_login(LoginDraft(email=email, password="x"))
    assert (draft is None) == bool(errors)
    if draft is not None:
        assert email_errors(draft.email) == []
        assert validate_login(draft) == (draft, [])


def test_a_password_is_valid_by_its_length_alone() -> None:
    for new, valid in (("x" * 9, False), ("x" * 10, True), ("é" * 1000, True), ("x" * 1001, False)):
        draft, errors = validate_password(PasswordDraft(current="", new=new))
        assert [error.field for error in errors] == ([] if valid else ["new"])
        assert (draft is not None) == valid
    _, errors = validate_password(PasswordDraft(current="x" * 1001, new=""))
    assert [error.field for error in errors] == ["current", "new"]


def test_the_name_of_a_user_is_one_line() -> None:
    assert validate_user(UserDraft(name="Ada"))[0] == UserDraft(name="Ada")
    assert validate_user(UserDraft(name="a\nb"))[0] is None


@given(st.text())
def test_a_clean_user_agent_is_one_short_line(header: str) -> None:
    text = clean_user_agent(header)
    assert len(text) <= 200
    assert "\n" not in text
    assert "\x00" not in text


def test_a_key_expires_in_the_future_or_never() -> None:
    validate = key_validator(lambda: NOW)
    zone = timezone(timedelta(hours=2))
    for expires_at, valid in (
        (None, True),
        (NOW + timedelta(seconds=1), True),
        (NOW, False),
        (NOW.replace(tzinfo=None) + timedelta(days=1), False),
        (datetime(2026, 3, 1, 1, tzinfo=zone), False),
    ):
        draft = KeyDraft(label="x", scopes=["read"], expires_at=expires_at)
        assert (validate(draft)[0] is not None) == valid, expires_at


def test_an_invitation_cannot_give_the_role_owner() -> None:
    draft = InvitationDraft(email="A@B.c", role="owner")
    assert [error.field for error in validate_invitation(draft)[1]] == ["role"]
    assert validate_role(RoleDraft(role="owner"))[0] is not None
    invitation, _ = validate_invitation(InvitationDraft(email="A@B.c", role="admin"))
    assert invitation is not None
    assert invitation.email == "a@b.c"


def test_an_invitation_lasts_a_day_to_ninety() -> None:
    for days, valid in ((0, False), (1, True), (90, True), (91, False)):
        draft = InvitationDraft(email="a@b.c", role="viewer", expires_in_days=days)
        fields = [error.field for error in validate_invitation(draft)[1]]
        assert fields == ([] if valid else ["expires_in_days"])
