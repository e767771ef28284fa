"""`Idempotency-Key` on creates: a request sent again gets the response of the first one."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from quart import Quart, Response, request

from api.http.auth import current_caller, current_credential
from api.http.problems import problem_response_of
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import (
    HEADER,
    AlreadyAnsweredError,
    IdempotentRequest,
    ResponseWithheldError,
    StoredResponse,
    request_sha256,
    validate_key,
)
from engine.common.response_seal import ResponseSeal

REPLAYED: Final = "Idempotency-Replayed"
NOBODY: Final = 0  # the id of no user
T = TypeVar("T")


async def idempotency_of_request(
    respond: Callable[[T], StoredResponse], owner_id: int | None = None
) -> IdempotentRequest[T] | None:
    """Return the idempotency key and hash of the current request, or None without the header.

    `respond` makes the response within the transaction of the create, so that exactly this response can be
    sent again. `owner_id` owns the key; the caller, if it is None. Raises InvalidError for a bad key.
    """
    key = idempotency_key()
    if key is None:
        return None
    digest = await _digest_of_request(current_caller().user_id if owner_id is None else owner_id)
    return IdempotentRequest(key=key, request_sha256=digest, respond=respond)


async def idempotency_with_secret(
    respond: Callable[[T], StoredResponse],
    profile_of: Callable[[T], int] | None = None,
    token: str | None = None,
) -> IdempotentRequest[T] | None:
    """Return like idempotency_of_request(), for a response that holds a secret and has a `Location`.

    It is stored under a seal that only the credential of this request opens: its API key or session, or in a
    request without them an invitation's `token`. `profile_of` returns the profile that it is about.
    """
    owner_id = None if token is None else NOBODY
    once = await idempotency_of_request(respond, owner_id)
    if once is None:
        return None
    seal = ResponseSeal(current_credential() if token is None else token)
    return msgspec.structs.replace(once, holds_secret=True, seal=seal, profile_of=profile_of)


def idempotency_key() -> str | None:
    """Return the idempotency key of the current request, None without one. Raises InvalidError."""
    keys = request.headers.getlist(HEADER)
    if len(keys) > 1:
        raise InvalidError([FieldError(HEADER, "must be sent only once")])
    return validate_key(keys[0]) if keys else None


async def _digest_of_request(owner_id: int) -> bytes:
    body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    path = request.full_path if request.query_string else request.path
    return request_sha256(request.method, path, body, owner_id)


def response_of(stored: StoredResponse) -> Response:
    """Return the response that is stored."""
    return Response(stored.body, status=stored.status, headers=dict(stored.headers))


def register(app: Quart) -> None:
    """Let `app` replay the stored response of a request that is sent again."""
    app.register_error_handler(AlreadyAnsweredError, _replay)
    app.register_error_handler(ResponseWithheldError, _withhold)


async def _replay(error: Exception) -> Response:
    assert isinstance(error, AlreadyAnsweredError)
    response = response_of(error.response)
    response.headers[REPLAYED] = "true"
    return response


async def _withhold(error: Exception) -> Response:
    assert isinstance(error, ResponseWithheldError)
    response = await problem_response_of(error)
    response.headers["Location"] = error.location
    return response
