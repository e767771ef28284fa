"""Validation of bodies: a stand-in for a bad field lets the other fields be validated."""

from typing import Any

import msgspec
import pytest

from api.accounts.invitations import TokenDraft
from api.accounts.members import TransferDraft
from api.experiments.bodies import ExperimentBody
from api.experiments.experiments import DecisionBody
from api.http.bodies import draft_of
from api.webhooks.deliveries import ReplayDraft
from engine.accounts.account import LoginDraft, PasswordDraft, UserDraft
from engine.accounts.api_key import KeyDraft
from engine.accounts.member import AcceptDraft, InvitationDraft, RoleDraft
from engine.common.drafts import stand_in_of
from engine.common.errors import FieldError, InvalidError
from engine.experiments.conversion import ConversionDraft
from engine.experiments.conversion_hook import HookDraft
from engine.experiments.refund import RefundDraft
from engine.links.link import LinkDraft, validate_draft
from engine.links.profile import ProfileDraft
from engine.webhooks.webhook import NewWebhookDraft, WebhookDraft

DRAFTS = (
    AcceptDraft, ConversionDraft, DecisionBody, ExperimentBody, HookDraft, RefundDraft, InvitationDraft,
    KeyDraft, LinkDraft, LoginDraft, NewWebhookDraft, PasswordDraft, ProfileDraft, ReplayDraft, RoleDraft,
    TokenDraft, TransferDraft, UserDraft, WebhookDraft,
)  # fmt: skip


@pytest.mark.parametrize("draft", DRAFTS)
def test_an_empty_body_names_every_required_field(draft: type[msgspec.Struct]) -> None:
    required = [field for field in msgspec.structs.fields(draft) if field.required]
    assert [field.name for field in required if stand_in_of(field.type) is None] == []
    with pytest.raises(InvalidError) as raised:
        draft_of(draft, {}, lambda empty_draft: (empty_draft, []), {})
    assert raised.value.errors == [FieldError(field.name, "is required") for field in required]


def bad_fields(**body: Any) -> set[str]:
    """Return the names of the fields that a link's body is refused for."""
    with pytest.raises(InvalidError) as raised:
        draft_of(LinkDraft, body, validate_draft, {})
    return {error.field for error in raised.value.errors}


def test_all_other_fields_are_validated_beside_one_of_the_wrong_type() -> None:
    assert bad_fields(slug=5, target="ftp://x") == {"slug", "target"}
    assert bad_fields(target=5, slug="a b", status=303) == {"target", "slug", "status"}


def test_an_invalid_kind_does_not_make_the_target_invalid() -> None:
    assert bad_fields(slug="a", target="mailto:ada@example.com", kind=5) == {"kind"}
