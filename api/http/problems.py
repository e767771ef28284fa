"""Problem details (RFC 9457) of every error of the console, as `application/problem+json`.

`type` is a stable name to program against, `detail` one line for a person. `errors` names every bad field. An
unexpected error answers 500 with the request's id; its traceback goes to the log only.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from engine.common.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidError,
    LostUpdateError,
    NotFoundError,
    SlowQueryError,
    TooSoonError,
    UnavailableError,
    WaypostError,
)

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
REQUEST_ID: Final = "waypost.request_id"  # where the ASGI scope holds the request's id
BUG_DETAIL: Final = "an unexpected error; the operator finds it in the log by this request_id"
MAX_ERRORS: Final = 50

logger = logging.getLogger("waypost.api")

# Own descriptions of statuses; any other status keeps the framework's description.
_DETAILS: Final[Mapping[int, str]] = {
    404: "there is nothing at this path",
    405: "this path does not take this method",
    408: "the request did not arrive in time",
    413: "the request body is too large",
}


class BadField(msgspec.Struct, frozen=True):
    """A bad field of a request: a field of the body by its path, a parameter or header by its name."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `type` is a stable name to program against, `detail` one line for a
    person; `errors` names every bad field, `request_id` the log entry that the operator can look up."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[BadField] = []
    request_id: str = ""


def problem(
    status: int, detail: str, errors: Iterable[FieldError] = (), request_id: str = ""
) -> Problem:
    phrase = HTTPStatus(status).phrase
    return Problem(
        type=f"urn:waypost:problem:{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status,
        detail=detail,
        errors=[BadField(error.field, error.reason) for error in errors][:MAX_ERRORS],
        request_id=request_id,
    )


def document(
    status: int,
    detail: str,
    errors: Iterable[FieldError] = (),
    request_id: str = "",
) -> bytes:
    """Return the JSON of one problem."""
    return msgspec.json.encode(problem(status, detail, errors, request_id))


def response(
    status: int,
    detail: str,
    errors: Iterable[FieldError] = (),
    headers: dict[str, str] | None = None,
    request_id: str = "",
) -> Response:
    body = document(status, detail, errors, request_id)
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def register(app: Quart) -> None:
    """Make `app` answer the engine's errors, the framework's errors and bugs with problems."""
    app.register_error_handler(WaypostError, problem_response_of)
    app.register_error_handler(HTTPException, framework_problem_response)
    app.register_error_handler(Exception, bug_response)


async def problem_response_of(error: Exception) -> Response:
    """Return the response to an error of the engine."""
    problem = problem_of(error)
    if problem is None:
        return await bug_response(error)
    headers = None
    if isinstance(error, UnavailableError) and not isinstance(error, SlowQueryError):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    elif isinstance(error, TooSoonError):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    return Response(
        msgspec.json.encode(problem),
        status=problem.status,
        headers=headers,
        content_type=CONTENT_TYPE,
    )


def problem_of(error: Exception) -> Problem | None:
    """Return the problem of an engine's error, or None if callers must not see the error."""
    match error:
        case InvalidError():
            return problem(422, str(error)[:1000], error.errors)
        case ConflictError():
            return problem(409, str(error), [FieldError(error.field, error.reason)])
        case NotFoundError():
            return problem(404, str(error))
        case ForbiddenError():
            return problem(403, str(error))
        case LostUpdateError():
            return problem(412, str(error))
        case TooSoonError():
            return problem(429, str(error))
        case UnavailableError():
            return problem(503, str(error))
    return None


async def framework_problem_response(error: Exception) -> Response:
    """Return the response to an HTTPException of Quart, Werkzeug or a handler."""
    assert isinstance(error, HTTPException)
    status = error.code or 500
    if status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED:
        return await bug_response(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response(status, _DETAILS.get(status) or error.description or "", headers=headers)


async def bug_response(error: Exception) -> Response:
    """Log an unexpected error and return the response 500."""
    request_id = str(request.scope.get(REQUEST_ID, ""))
    log_bug(error, request_id)
    return response(500, BUG_DETAIL, request_id=request_id)


def log_bug(error: BaseException, request_id: str) -> None:
    """Log an unexpected error with its traceback."""
    logger.error(
        "request %s failed unexpectedly",
        request_id,
        exc_info=error,
        extra={"event": "console_error", "request_id": request_id},
    )
