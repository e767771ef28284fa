"""Query parameters, ids in paths and cursors of lists. Unknown parameters are refused.

A cursor is opaque to clients. It holds the last id of the page before, so that creating or deleting items
meanwhile neither repeats nor skips an item that stays.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from quart import request

from api.http.bodies import ListResponse, printable_name
from api.http.routes import Parameter
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.list_page import ListPage
from engine.stats import period

T = TypeVar("T")
Item = TypeVar("Item")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
MAX_ID: Final = 2**63 - 1
_UTC: Final = ZoneInfo("UTC")
# The parameters of every list, for the reference.
PAGE: Final = (
    Parameter(
        "cursor",
        "The `next_cursor` of the page before.",
        Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,40}$")],
    ),
    Parameter(
        "limit",
        f"The largest number of items; {DEFAULT_LIMIT} if left out.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)],
        20,
    ),
)
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_LIMIT: Final = re.compile(r"[0-9]{1,6}")
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


def path_id(text: str) -> int:
    """Return the id in a path. Raises NotFoundError for a text that cannot be an id."""
    value = parsed_id(text)
    if value is None:
        raise NotFoundError("there is nothing with this id")
    return value


def parsed_id(text: str) -> int | None:
    """Return the id that `text` writes, or None if it cannot be an id."""
    if _ID.fullmatch(text) is None or int(text) > MAX_ID:
        return None
    return int(text)


def parameters(*names: str) -> tuple[dict[str, str], list[FieldError]]:
    """Return the query's parameters by name, and an error for each that is unknown or sent twice."""
    query = request.args.to_dict(flat=False)
    errors = []
    for name, values in query.items():
        if name not in names:
            hint = f"the parameters are {', '.join(names)}" if names else "there are none"
            errors.append(FieldError(printable_name(name), f"is not a parameter here; {hint}"))
        elif len(values) > 1:
            errors.append(FieldError(name, "must be sent only once"))
    return {name: values[0] for name, values in query.items() if name in names}, errors


def refuse_parameters() -> None:
    """Raise InvalidError if the request has any query parameter."""
    _, errors = parameters()
    if errors:
        raise InvalidError(errors)


def page_of_request() -> tuple[int, int]:
    """Return (the id after which the page begins, its largest number of items). Raises InvalidError."""
    query, errors = parameters("cursor", "limit")
    after, limit = page_of(query, errors)
    if errors:
        raise InvalidError(errors)
    return after, limit


def page_of(query: dict[str, str], errors: list[FieldError]) -> tuple[int, int]:
    """Return `after` and `limit` as page_of_request() does, for a list with further parameters.

    Errors are added to `errors`.
    """
    after, limit = 0, DEFAULT_LIMIT
    if "cursor" in query:
        decoded = _decoded(query["cursor"])
        if decoded is None:
            errors.append(FieldError("cursor", "must be a next_cursor of this API"))
        else:
            after = decoded
    if "limit" in query:
        text = query["limit"]
        limit = int(text) if _LIMIT.fullmatch(text) else 0
        if not 1 <= limit <= MAX_LIMIT:
            errors.append(FieldError("limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    return after, limit


def id_parameter(query: dict[str, str], name: str, errors: list[FieldError]) -> int | None:
    """Return the id that a parameter names, None without it. An error is added to `errors`."""
    if name not in query:
        return None
    id_ = parsed_id(query[name])
    if id_ is None:
        errors.append(FieldError(name, "must be an id"))
    return id_


def moments(
    query: dict[str, str], names: Iterable[str], errors: list[FieldError]
) -> dict[str, datetime]:
    """Return the parameters that name moments, in UTC: an instant, or a UTC date. Errors are added to
    `errors`."""
    times: dict[str, datetime] = {}
    for name in names:
        if name in query:
            try:
                times[name] = period.parse_moment(query[name], _UTC).astimezone(UTC)
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
    return times


def page_response(page: ListPage, response_of: Callable[[T], Item]) -> ListResponse[Item]:
    """Return one page of a list, each item by `response_of`."""
    items: Iterable[T] = page.items
    cursor = None if page.next_after is None else _encoded(page.next_after)
    return ListResponse([response_of(item) for item in items], cursor)


def _encoded(after: int) -> str:
    return base64.urlsafe_b64encode(b"a%d" % after).rstrip(b"=").decode()


def _decoded(cursor: str) -> int | None:
    if _CURSOR.fullmatch(cursor) is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    after = parsed_id(text[1:]) if text.startswith("a") else None
    return after if after is not None and _encoded(after) == cursor else None
