"""`Idempotency-Key` on creates: a request sent again gets the response of the first one."""

from collections.abc import Callable
from typing import Final, TypeVar

from quart import Quart, Response, request

from api.http.auth import current_caller
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import (
    HEADER,
    AlreadyAnsweredError,
    IdempotentRequest,
    StoredResponse,
    request_sha256,
    validate_key,
)

REPLAYED: Final = "Idempotency-Replayed"
T = TypeVar("T")


async def idempotency_of_request(
    respond: Callable[[T], StoredResponse],
) -> IdempotentRequest[T] | None:
    """Return the idempotency key and hash of the current request, or None without the header.

    `respond` makes the response within the transaction of the create, so that exactly this response can be
    sent again. Raises InvalidError for a bad key.
    """
    keys = request.headers.getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1:
        raise InvalidError([FieldError(HEADER, "must be sent only once")])
    key = validate_key(keys[0])
    body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    path = request.full_path if request.query_string else request.path
    digest = request_sha256(request.method, path, body, current_caller().user_id)
    return IdempotentRequest(key, digest, respond)


def response_of(stored: StoredResponse) -> Response:
    """Return the response that is stored."""
    return Response(stored.body, status=stored.status, headers=dict(stored.headers))


def register(app: Quart) -> None:
    """Let `app` replay the stored response of a request that is sent again."""
    app.register_error_handler(AlreadyAnsweredError, _replay)


async def _replay(error: Exception) -> Response:
    assert isinstance(error, AlreadyAnsweredError)
    response = response_of(error.response)
    response.headers[REPLAYED] = "true"
    return response
