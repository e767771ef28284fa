"""Idempotency keys, and the equality of two requests."""

import pytest

from engine.common.errors import InvalidError
from engine.common.idempotency import (
    HEADER,
    AlreadyAnsweredError,
    StoredResponse,
    error_for_used_key,
    request_sha256,
    validate_key,
)


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


def test_a_used_key_answers_its_own_request_only() -> None:
    stored = StoredResponse(201, {}, b"{}")
    error = error_for_used_key(stored, b"same", b"same")
    assert isinstance(error, AlreadyAnsweredError)
    assert error.response is stored
    with pytest.raises(InvalidError):
        error_for_used_key(stored, b"same", b"other")
