"""`/v1/event-types`: the types of events, each with its JSON Schema."""

from typing import Any, Final

import msgspec
from quart import Response

from api.http.bodies import json_response
from api.http.query import refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.webhooks.events import EVENT_TYPES, EventType


class EventTypeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A type of events. `schema` describes the whole body that is sent. `opt_in`: `*` and `link.*` do not
    include the type."""

    name: str
    description: str
    opt_in: bool
    schema: dict[str, Any]
    example: dict[str, Any]


class EventTypesResponse(msgspec.Struct, frozen=True):
    items: list[EventTypeResponse]


class EventTypeRoutes:
    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/event-types", self.list_page, _LIST)]

    async def list_page(self) -> Response:
        refuse_parameters()
        return json_response(_EVENT_TYPES)


def schema_of(type_: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the body of an event of this type."""
    data = msgspec.json.schema(type_.data)
    definitions = data.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "type": {"const": type_.name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
        "required": ["type", "timestamp", "data"],
        "$defs": definitions,
    }


def body_example(type_: EventType) -> dict[str, Any]:
    """Return an example of the body of an event of this type."""
    return {"type": type_.name, "timestamp": "2026-05-01T09:31:00Z", "data": dict(type_.example)}


def _type_response(type_: EventType) -> EventTypeResponse:
    return EventTypeResponse(
        name=type_.name,
        description=type_.description,
        opt_in=type_.opt_in,
        schema=schema_of(type_),
        example=body_example(type_),
    )


def _abridged(type_: EventType) -> dict[str, Any]:
    """Return the type with a short schema, because the full one has `$ref`s, which the reference would take
    for its own."""
    fields: dict[str, Any] = msgspec.to_builtins(_type_response(type_))
    return fields | {"schema": {"type": "object", "required": ["type", "timestamp", "data"]}}


_EVENT_TYPES: Final = EventTypesResponse([_type_response(type_) for type_ in EVENT_TYPES.values()])
_LIST: Final = Doc(
    id="listEventTypes",
    summary="List the types of events",
    tag="Webhooks",
    description="All types, each with the JSON Schema of the body that is sent and an example.",
    responses={
        200: ResponseDoc(
            "The types.",
            EventTypesResponse,
            {"items": [_abridged(EVENT_TYPES["link.milestone"])]},
        )
    },
)
