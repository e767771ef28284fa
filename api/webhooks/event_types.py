"""`/v1/event-types`: what webhooks can tell of, with the JSON Schema of each."""

from typing import Any, Final

import msgspec
from quart import Response

from api.http.bodies import json_response
from api.http.query import refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.webhooks.events import EVENT_TYPES, EventType


class EventTypeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`schema` is of the whole body that is sent. `opt_in`: `*` and `link.*` do not include it."""

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
        return json_response(_ALL)


def schema_of(type_: EventType) -> dict[str, Any]:
    """JSON Schema of the body of such an event."""
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
    return {"type": type_.name, "timestamp": "2026-05-01T09:31:00Z", "data": dict(type_.example)}


def _shown(type_: EventType) -> EventTypeResponse:
    return EventTypeResponse(
        name=type_.name,
        description=type_.description,
        opt_in=type_.opt_in,
        schema=schema_of(type_),
        example=body_example(type_),
    )


def _abridged(type_: EventType) -> dict[str, Any]:
    """For the reference, whose own references must not be mixed with the schema's."""
    short: dict[str, Any] = msgspec.to_builtins(_shown(type_))
    return short | {"schema": {"type": "object", "required": ["type", "timestamp", "data"]}}


_ALL: Final = EventTypesResponse([_shown(one) for one in EVENT_TYPES.values()])
_LIST: Final = Doc(
    id="listEventTypes",
    summary="List the types of events",
    tag="Webhooks",
    description="All of them, with the JSON Schema of what is sent and an example.",
    responses={
        200: ResponseDoc(
            "The types.",
            EventTypesResponse,
            {"items": [_abridged(EVENT_TYPES["link.milestone"])]},
        )
    },
)
