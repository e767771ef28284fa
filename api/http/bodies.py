"""JSON bodies of requests and responses, typed by msgspec structs.

A request's body is validated field by field, so that one response names every bad field: unknown and
missing fields, wrong types, and values that break the engine's rules. Ids are decimal strings in JSON,
because JavaScript's numbers cannot hold them; times are RFC 3339 in UTC with `Z`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
import orjson
from quart import Response, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from engine.common.drafts import stand_in_of
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import StoredResponse
from engine.common.json_keys import duplicate_key

Item = TypeVar("Item")
Draft = TypeVar("Draft", bound=msgspec.Struct)
Validator = Callable[[Draft], tuple[Draft | None, list[FieldError]]]

MAX_FIELD_CHARS: Final = 64
MAX_YEAR: Final = 9998
_JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})

Id = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,18}$", description="an id")]
Version = Annotated[int, msgspec.Meta(ge=1, description="grows by one with each change")]
Url = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri"})]


class FieldReason(msgspec.Struct, frozen=True):
    """A remark about one field."""

    field: str
    reason: str


class ListResponse(msgspec.Struct, Generic[Item], frozen=True):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None


def utc(time: datetime) -> datetime:
    """Return an aware time in UTC."""
    return time.astimezone(UTC)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with `value` as JSON."""
    return Response(
        msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def replayable_response(value: Any, status: int, headers: dict[str, str]) -> StoredResponse:
    """Return a JSON response that can be stored, and sent again for the same Idempotency-Key."""
    return StoredResponse(
        status, headers | {"Content-Type": "application/json"}, msgspec.json.encode(value)
    )


def empty_response(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return a response without a body: status 204 or 304."""
    # Without bytes, Quart would iterate over nothing in an asyncio thread, and trio has none.
    response = Response(b"", status=status, headers=headers)
    response.automatically_set_content_length = False
    for name in ("Content-Type", "Content-Length"):
        response.headers.pop(name, None)
    return response


async def json_object() -> dict[str, Any]:
    """Return the body of the current request, a JSON object.

    Raises UnsupportedMediaType for another Content-Type, the errors of parsed_object(), and
    RequestEntityTooLarge as soon as more than the limit has arrived.
    """
    if request.mimetype not in _JSON_TYPES:
        raise UnsupportedMediaType("send a body of Content-Type application/json")
    text: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    return parsed_object(text)


def parsed_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises BadRequest if it is not JSON, and InvalidError if it is no object, or one in it has a key twice.
    """
    try:
        value = orjson.loads(text)
        key = duplicate_key(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    if not isinstance(value, dict):
        raise InvalidError([FieldError("body", "must be a JSON object")])
    if key is not None:
        raise InvalidError([FieldError(printable_name(key), "must stand once in its object")])
    return value


def draft_of(
    type_: type[Draft], body: Mapping[str, Any], check: Validator[Draft], base: Mapping[str, Any]
) -> Draft:
    """Return the validated draft of `body`. Fields that `body` leaves out come from `base`.

    Raises InvalidError with every bad field.
    """
    fields = {field.name: field for field in msgspec.structs.fields(type_)}
    errors = [
        FieldError(printable_name(name), f"is not a field here; the fields are {', '.join(fields)}")
        for name in body
        if name not in fields
    ]
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for name, field in fields.items():
        reason = None
        if name in body:
            values[name], reason = _converted(body[name], field.type)
        elif name in base:
            values[name] = base[name]
        elif field.required:
            reason = "is required"
        if reason is not None:
            bad.add(name)
            errors.append(FieldError(name, reason))
            values.pop(name, None)
            if (stand_in := stand_in_of(field.type)) is not None:
                values[name] = stand_in.value
    draft, rule_errors = check(type_(**values))
    errors += [error for error in rule_errors if error.field not in bad]
    if errors or draft is None:
        raise InvalidError(errors)
    return draft


def _converted(value: Any, type_: Any) -> tuple[Any, str | None]:
    """Return `value` as the type, and None; or None and the reason why it is not of the type."""
    try:
        converted = msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        return None, text[:1].lower() + text[1:]
    if isinstance(converted, datetime) and not _has_utc(converted):
        return None, "must be within the years 1 to 9998 in UTC"
    return converted, None


def _has_utc(time: datetime) -> bool:
    """Return whether UTC has this time."""
    # The offset can move a time out of what datetime holds, and so can rounding at the end of year 9999.
    try:
        return time.tzinfo is None or time.astimezone(UTC).year <= MAX_YEAR
    except OverflowError:
        return False


def printable_name(name: str) -> str:
    """Return an unknown field's name, cleaned and cut so that a response and a log can repeat it."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return printable[:MAX_FIELD_CHARS]
