"""Route: one method of one path, its access, its handler and its documentation.

A route is documented where it is defined: `Doc` holds what only this route knows, and
api/reference/openapi.py adds what follows from it (a body can be malformed or too large, a path's id may not
exist, a key may be missing). A route of the API without a `Doc` fails tests/api/reference/test_openapi.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec
from quart import Response

from engine.audit.security_event import SecurityEventKind

# Access to a route: with a key or a session; also with the token of a share; with a session only; with or
# without credentials; or public, where credentials are not even read.
Access = Literal["key", "shared", "session", "optional", "public"]
_NO_EVENTS: Final[Mapping[int, SecurityEventKind]] = MappingProxyType({})


class ResponseDoc(NamedTuple):
    """A successful response: description, type of its body (None: no body), example, names of headers, and
    types of content that it may have instead, of any bytes."""

    description: str
    model: Any = None
    example: Any = None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"
    binary_types: tuple[str, ...] = ()


class Parameter(NamedTuple):
    """A query parameter. `schema` is a type, Annotated with msgspec.Meta where it has bounds."""

    name: str
    description: str
    schema: Any = str
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """Documentation of a route in the reference.

    `id` is its operationId, `body` the struct that a request's JSON is read into, and `body_example` such
    JSON. `responses` are the successful responses by status. `errors` are the statuses of problems beyond
    those that api/reference adds: 401, 403, 404 with an id in the path, 422, 429 and 503 under `/v1`, and
    400, 408, 413 and 415 with a body. `paths` describes variables of the path by name.
    """

    id: str
    summary: str
    tag: str
    responses: Mapping[int, ResponseDoc]
    description: str = ""
    body: Any = None
    body_example: Any = None
    query: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    tagged: bool = (
        False  # a read that makes its ETag itself; any other of JSON gets one of its body
    )
    guarded: bool = False  # a change that honours If-Match
    body_types: tuple[str, ...] = ()  # of a body of any bytes, instead of `body`
    idempotent: bool = False  # a create that honours Idempotency-Key
    paths: Mapping[str, str] = field(default_factory=dict)


class Route(NamedTuple):
    """A route. `rule` is in Werkzeug's form; the handler takes its variables, as strings, by name.

    api/http/auth.py enforces `access` and api/reference shows it; every route outside of `/v1` is public.
    `security_events` maps statuses of responses to the security events that they are, beyond the statuses
    that are events at every route (api/audit/security_events.py). `max_body_bytes` is the largest body of a
    request if it is another one than WAYPOST_MAX_BODY_BYTES: a handler that has one reads it piece by piece.
    """

    method: str
    rule: str
    handler: Callable[..., Awaitable[Response]]
    doc: Doc | None = None
    access: Access = "key"
    security_events: Mapping[int, SecurityEventKind] = _NO_EVENTS
    max_body_bytes: int | None = None


def is_api_path(path: str) -> bool:
    """Return whether a path is of the API: it takes credentials, also if it is unknown, unless it is public."""
    return path == "/v1" or path.startswith("/v1/")


def is_tagged_by_body(route: Route) -> bool:
    """Return whether a route's answer gets a tag of its body: JSON under `/v1`, without a tag of its own."""
    answer = None if route.doc is None else route.doc.responses.get(200)
    return (
        route.method == "GET"
        and is_api_path(route.rule)
        and route.doc is not None
        and not route.doc.tagged
        and answer is not None
        and answer.content_type == "application/json"
        and not answer.binary_types
    )


def changes_of(
    draft: type[msgspec.Struct],
    name: str = "",
    *,
    base: type[msgspec.Struct] | None = None,
    tag: str | None = None,
) -> type[msgspec.Struct]:
    """Return the struct of a change that names some of `draft`'s fields, for the reference.

    `LinkDraft` becomes `LinkChanges`. With `base`, the struct has the fields of `base` too; with `tag`, also a
    field `op` whose value is `tag`.
    """
    fields = [
        (field.name, field.type | msgspec.UnsetType, msgspec.UNSET)
        for field in msgspec.structs.fields(draft)
    ]
    return msgspec.defstruct(
        name or draft.__name__.removesuffix("Draft") + "Changes",
        fields,
        bases=None if base is None else (base,),
        kw_only=True,
        tag=tag,
        tag_field=None if tag is None else "op",
        forbid_unknown_fields=True,
    )
