"""A route: one method of one path, who may call it, what handles it, and how it is documented.

A route is described in the place where it is defined: `Doc` holds what only that route knows, and
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

# Who may call a route: a caller with a key or a session, one with a session only, one with or without
# credentials, or everybody, whose credentials are not even read.
Access = Literal["key", "session", "optional", "public"]
_NO_EVENTS: Final[Mapping[int, SecurityEventKind]] = MappingProxyType({})


class ResponseDoc(NamedTuple):
    """A good answer: in words, its body's type (None: no body), an example, headers by name."""

    description: str
    model: Any = None
    example: Any = None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"


class Parameter(NamedTuple):
    """A query parameter. `schema` is a type, Annotated with msgspec.Meta where it has bounds."""

    name: str
    description: str
    schema: Any = str
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """What the reference says of a route.

    `id` is its operationId, `body` the struct that a request's JSON is read into and
    `body_example` one such JSON. `errors` are the statuses of problems beyond those that follow from
    the rest: 401, 403, 404 with an id in the path, 422, 429 and 503 under `/v1`, and 400, 408, 413
    and 415 with a body.
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
    tagged: bool = False  # a read that gives an ETag and honours If-None-Match
    guarded: bool = False  # a change that honours If-Match
    idempotent: bool = False  # a create that honours Idempotency-Key
    paths: Mapping[str, str] = field(default_factory=dict)  # what a variable of the rule means


class Route(NamedTuple):
    """`rule` as Werkzeug reads it. The handler takes the rule's variables, as strings, by name.

    `access` is enforced by api/http/auth.py and shown by api/reference: every route outside of `/v1` is
    public. `security_events` says which answers are noted as what in the security log, by their status,
    beyond those that are noted at every route (api/audit/security_events.py).
    """

    method: str
    rule: str
    handler: Callable[..., Awaitable[Response]]
    doc: Doc | None = None
    access: Access = "key"
    security_events: Mapping[int, SecurityEventKind] = _NO_EVENTS


def changes_of(
    draft: type[msgspec.Struct],
    name: str = "",
    *,
    base: type[msgspec.Struct] | None = None,
    tag: str | None = None,
) -> type[msgspec.Struct]:
    """The struct of a change that gives some of `draft`'s fields, for the reference: `LinkDraft` becomes
    `LinkChanges`. With `base`, its fields are there too, with `tag` the field `op` that says so."""
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
