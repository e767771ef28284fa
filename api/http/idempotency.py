"""`Idempotency-Key` on creates: the request sent again gets the answer of the first one."""

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
    """What the request's `Idempotency-Key` asks for; None without one. Raises InvalidError for a bad one.

    The answer is made by `respond` in the transaction of the create, so it is what is sent again.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1:
        raise InvalidError([FieldError(HEADER, "is given more than once")])
    key = validate_key(given[0])
    body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    path = request.full_path if request.query_string else request.path
    digest = request_sha256(request.method, path, body, current_caller().user_id)
    return IdempotentRequest(key, digest, respond)


def response_of(stored: StoredResponse) -> Response:
    return Response(stored.body, status=stored.status, headers=dict(stored.headers))


def register(app: Quart) -> None:
    """Let `app` answer what has been answered before."""
    app.register_error_handler(AlreadyAnsweredError, _again)


async def _again(error: Exception) -> Response:
    assert isinstance(error, AlreadyAnsweredError)
    response = response_of(error.response)
    response.headers[REPLAYED] = "true"
    return response
