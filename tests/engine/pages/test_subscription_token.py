"""Tokens of links in mails: good for one request, purpose and profile, until they end."""

from hypothesis import given
from hypothesis import strategies as st

from engine.pages.subscription_token import NEVER, SubscriptionTokens, TokenScope

SCOPE = TokenScope("confirm", 1, 7)
TOKENS = SubscriptionTokens(b"secret")


def test_a_token_works_until_it_ends() -> None:
    token = TOKENS.token(SCOPE, 42, 1_000)
    assert TOKENS.request_id(SCOPE, token, 999) == 42
    assert TOKENS.request_id(SCOPE, token, 1_000) is None
    endless = TOKENS.token(SCOPE, 42, NEVER)
    assert TOKENS.request_id(SCOPE, endless, 10**11) == 42


def test_a_token_is_good_for_its_purpose_and_profile_alone() -> None:
    token = TOKENS.token(SCOPE, 42, NEVER)
    others = (
        SCOPE._replace(purpose="leave"), SCOPE._replace(tenant_id=2), SCOPE._replace(profile_id=8),
    )  # fmt: skip
    for scope in others:
        assert TOKENS.request_id(scope, token, 0) is None
    assert SubscriptionTokens(b"another").request_id(SCOPE, token, 0) is None


@given(st.integers(0, 2**63 - 1), st.integers(1, 10**12 - 1), st.data())
def test_no_changed_token_works(request_id: int, until_s: int, data: st.DataObject) -> None:
    token = TOKENS.token(SCOPE, request_id, until_s)
    assert TOKENS.request_id(SCOPE, token, until_s - 1) == request_id
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        assert TOKENS.request_id(SCOPE, changed, 0) is None


@given(st.text())
def test_no_text_is_a_token(text: str) -> None:
    assert TOKENS.request_id(SCOPE, text, 0) is None
