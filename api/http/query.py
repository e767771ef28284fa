"""Query parameters, ids in paths and cursors of lists, judged strictly: nothing unknown passes.

A cursor is opaque to clients. It says after which id a list goes on, so that what is created or
deleted meanwhile neither repeats nor skips an item that stays.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeVar

import msgspec
from quart import request

from api.http.bodies import ListResponse, printable_name
from api.http.routes import Parameter
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.list_page import ListPage

T = TypeVar("T")
Shown = TypeVar("Shown")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
MAX_ID: Final = 2**63 - 1
# How the reference shows the parameters of a list.
PAGE: Final = (
    Parameter(
        "cursor",
        "Where to go on: the `next_cursor` of the page before.",
        Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,40}$")],
    ),
    Parameter(
        "limit",
        f"How many items at most; {DEFAULT_LIMIT} if left out.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)],
        20,
    ),
)
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_LIMIT: Final = re.compile(r"[0-9]{1,6}")
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


def path_id(text: str) -> int:
    """An id from a path; what cannot be one does not exist."""
    value = parsed_id(text)
    if value is None:
        raise NotFoundError("there is nothing with this id")
    return value


def parsed_id(text: str) -> int | None:
    if _ID.fullmatch(text) is None or int(text) > MAX_ID:
        return None
    return int(text)


def parameters(*known: str) -> tuple[dict[str, str], list[FieldError]]:
    """The query's parameters, and an error for each that is unknown or given twice."""
    given = request.args.to_dict(flat=False)
    errors = []
    for name, values in given.items():
        if name not in known:
            hint = f"there are {', '.join(known)}" if known else "there is none"
            errors.append(FieldError(printable_name(name), f"is not a parameter here; {hint}"))
        elif len(values) > 1:
            errors.append(FieldError(name, "is given more than once"))
    return {name: values[0] for name, values in given.items() if name in known}, errors


def refuse_parameters() -> None:
    """Refuse any query parameter."""
    _, errors = parameters()
    if errors:
        raise InvalidError(errors)


def page_of_request() -> tuple[int, int]:
    """`after` and `limit` of a list's request."""
    given, errors = parameters("cursor", "limit")
    after, limit = page_of(given, errors)
    if errors:
        raise InvalidError(errors)
    return after, limit


def page_of(given: dict[str, str], errors: list[FieldError]) -> tuple[int, int]:
    """The same for a list that takes other parameters too; what is wrong is added to `errors`."""
    after, limit = 0, DEFAULT_LIMIT
    if "cursor" in given:
        decoded = _decoded(given["cursor"])
        if decoded is None:
            errors.append(FieldError("cursor", "is not a next_cursor that this API has given"))
        else:
            after = decoded
    if "limit" in given:
        text = given["limit"]
        limit = int(text) if _LIMIT.fullmatch(text) else 0
        if not 1 <= limit <= MAX_LIMIT:
            errors.append(FieldError("limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    return after, limit


def page_response(page: ListPage, shown: Callable[[T], Shown]) -> ListResponse[Shown]:
    items: Iterable[T] = page.items
    cursor = None if page.next_after is None else _encoded(page.next_after)
    return ListResponse([shown(item) for item in items], cursor)


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
