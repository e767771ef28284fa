"""Idempotency keys, and the equality of two requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.common.idempotency import (
    HEADER,
    AlreadyAnsweredError,
    IdempotentRequest,
    ResponseRow,
    ResponseWithheldError,
    StoredResponse,
    request_sha256,
    validate_key,
)
from engine.common.response_seal import ResponseSeal


@pytest.mark.parametrize("key", ["a", "!", "~" * 255, "9f1c52f6-7e1b"])
def test_visible_ascii_is_a_key(key: str) -> None:
    assert validate_key(key) == key


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "ключ", "a\n", "\x7f"])
def test_any_other_text_is_no_key(key: str) -> None:
    with pytest.raises(InvalidError) as caught:
        validate_key(key)
    assert caught.value.errors[0].field == HEADER


def test_requests_differ_by_method_path_body_and_user() -> None:
    requests = [
        ("POST", "/v1/profiles", b"{}", 1),
        ("PUT", "/v1/profiles", b"{}", 1),
        ("POST", "/v1/profiles/1/links", b"{}", 1),
        ("POST", "/v1/profiles", b"{ }", 1),
        ("POST", "/v1/profiles", b"{}", 2),
    ]
    assert len({request_sha256(*request) for request in requests}) == len(requests)
    assert request_sha256(*requests[0]) == request_sha256(*requests[0])


SECRET = StoredResponse(201, {"Location": "/v1/keys/7", "ETag": '"1"'}, b'{"key":"wp_secret"}')
SAME, OTHER = b"s" * 32, b"o" * 32


def once(
    credential: str = "", digest: bytes = SAME, *, holds_secret: bool = True
) -> IdempotentRequest[None]:
    seal = ResponseSeal(credential) if credential else None
    return IdempotentRequest("k", digest, lambda _: SECRET, holds_secret=holds_secret, seal=seal)


def test_a_used_key_answers_its_own_request_only() -> None:
    request = once(holds_secret=False)
    row = request.row_of(None)
    assert row == ResponseRow(SAME, SECRET.status, SECRET.headers, SECRET.body)
    error = request.error_for_used_key(row)
    assert isinstance(error, AlreadyAnsweredError)
    assert error.response == SECRET
    assert isinstance(once("a", OTHER).error_for_used_key(row), InvalidError)


def test_the_credential_that_sealed_an_answer_opens_it() -> None:
    row = once("wp_mine").row_of(None)
    assert (row.headers, row.holds_secret) == ({"Location": "/v1/keys/7"}, True)
    assert b"wp_" not in row.body
    assert b"secret" not in row.body
    error = once("wp_mine").error_for_used_key(row)
    assert isinstance(error, AlreadyAnsweredError)
    assert error.response == SECRET
    assert isinstance(once("wp_mine", OTHER).error_for_used_key(row), InvalidError)


@pytest.mark.parametrize(
    ("sealed_by", "opened_by", "reason"),
    [("wp_mine", "wps_other", "only the API key or session"), ("wp_mine", "", "only the API key"),
     ("", "wp_mine", "not kept"), ("", "", "not kept")],
)  # fmt: skip
def test_an_answer_that_cannot_be_opened_is_withheld(
    sealed_by: str, opened_by: str, reason: str
) -> None:
    row = once(sealed_by).row_of(None)
    error = once(opened_by).error_for_used_key(row)
    assert isinstance(error, ResponseWithheldError)
    assert (error.field, error.location) == (HEADER, "/v1/keys/7")
    assert "/v1/keys/7" in error.reason
    assert reason in error.reason


@given(st.binary(max_size=200), st.integers(0), st.integers(0, 7))
def test_a_sealed_answer_that_was_changed_does_not_open(
    answer: bytes, place: int, bit: int
) -> None:
    seal = ResponseSeal("wp_mine")
    sealed = bytearray(seal.seal(answer, SAME))
    assert seal.open(bytes(sealed), SAME) == answer
    assert seal.open(bytes(sealed), OTHER) is None
    sealed[place % len(sealed)] ^= 1 << bit
    assert seal.open(bytes(sealed), SAME) is None
