"""Problems: every error of the console as RFC 9457 problem details, `application/problem+json`.

`type` is a stable name to program against, `detail` one line for a person. `errors` is there when
fields are to blame and names every one of them. Whatever goes wrong inside answers 500 with the
request's id, and its traceback goes to the log only.
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
REQUEST_ID: Final = "waypost.request_id"  # the key of the request's id in its ASGI scope
MAX_ERRORS: Final = 50

logger = logging.getLogger("waypost.api")

# Statuses that need no more than a word of ours; anything else keeps the framework's description.
_DETAILS: Final[Mapping[int, str]] = {
    404: "there is nothing at this path",
    405: "this path does not take that method",
    408: "the request did not arrive in time",
    413: "the request body is too large",
}


class BadField(msgspec.Struct, frozen=True):
    """One bad field of a request: a body's by its path, a parameter or header by its name."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `type` is a stable name to program against, `detail` one line for a
    person; `errors` names every bad field, `request_id` what to ask the operator about."""

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
    """The JSON of one problem."""
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
    """Make `app` answer problems for our own errors, for the framework's and for bugs."""
    app.register_error_handler(WaypostError, problem_response_of)
    app.register_error_handler(HTTPException, framework_problem_response)
    app.register_error_handler(Exception, bug_response)


async def problem_response_of(error: Exception) -> Response:
    found = problem_of(error)
    if found is None:
        return await bug_response(error)
    headers = None
    if isinstance(error, UnavailableError) and not isinstance(error, SlowQueryError):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    elif isinstance(error, TooSoonError):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    return Response(
        msgspec.json.encode(found), status=found.status, headers=headers, content_type=CONTENT_TYPE
    )


def problem_of(error: Exception) -> Problem | None:
    """What the API says of an error of ours; None for one that is not the caller's to know."""
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
    """An HTTPException, raised by Quart, Werkzeug or a handler of ours."""
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
    request_id = str(request.scope.get(REQUEST_ID, ""))
    log_bug(error, request_id)
    return response(500, "an unexpected error; the log has it", request_id=request_id)


def log_bug(error: BaseException, request_id: str) -> None:
    logger.error(
        "request %s failed unexpectedly",
        request_id,
        exc_info=error,
        extra={"event": "console_error", "request_id": request_id},
    )
