"""`/v1/security-events`: logins, denials, limits and uses of keys; and the recorder of denials."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response, request

from api.http.auth import caller_or_none, current_caller, request_id
from api.http.bodies import Id, ListResponse, json_response, utc
from api.http.query import PAGE, id_parameter, page_of, page_response, parameters
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.audit.ports import SecurityLog, SecurityStore
from engine.audit.security_event import SecurityEventKind, StoredSecurityEvent
from engine.common.errors import InvalidError

_AT_EVERY_ROUTE: Final[dict[int, SecurityEventKind]] = {
    401: "access.denied",
    403: "access.denied",
    429: "rate.limited",
}


def record_denials(
    log: SecurityLog, routes: Iterable[Route]
) -> Callable[[Response], Awaitable[Response]]:
    """Return an after_request function that notes uses of API keys, and responses whose status is a security
    event, at every route or at the route of the request."""
    events = {(route.method, route.rule): route.security_events for route in routes}

    async def note(response: Response) -> Response:
        caller, id_, status = caller_or_none(), request_id(), response.status_code
        if caller is not None and caller.key_id is not None:
            log.note("key.used", caller, id_)
        rule = request.url_rule.rule if request.url_rule else ""
        method = request.method if rule else ""
        kind = events.get((method, rule), {}).get(status) or _AT_EVERY_ROUTE.get(status)
        if kind is not None:
            log.note(kind, caller, id_, status=status, method=method, route=rule)
        return response

    return note


class SecurityEventResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A security event. `times` counts equal events of one user and key within about a second."""

    id: Id
    at: datetime
    kind: str
    user_id: Id | None
    key_id: Id | None
    request_id: str
    times: int
    detail: dict[str, Any]


class SecurityRoutes:
    def __init__(self, store: SecurityStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/security-events", self.list_page, _LIST)]

    async def list_page(self) -> Response:
        query, errors = parameters("cursor", "limit", "key_id")
        before, limit = page_of(query, errors)
        key_id = id_parameter(query, "key_id", errors)
        if errors:
            raise InvalidError(errors)
        items = await self._store.events(current_caller(), before, limit, key_id)
        return json_response(page_response(items, _event_response))


def _event_response(stored: StoredSecurityEvent) -> SecurityEventResponse:
    event = stored.event
    return SecurityEventResponse(
        id=str(stored.id),
        at=utc(event.at),
        kind=event.kind,
        user_id=None if event.user_id is None else str(event.user_id),
        key_id=None if event.key_id is None else str(event.key_id),
        request_id=event.request_id,
        times=event.times,
        detail=event.detail,
    )


_LIST: Final = Doc(
    id="listSecurityEvents",
    summary="List security events",
    tag="Activity",
    description="The events of the caller's tenant, newest first. Takes the scope admin.",
    query=(*PAGE, Parameter("key_id", "Only events of this API key.", Id)),
    responses={
        200: ResponseDoc(
            "A page of events.",
            ListResponse[SecurityEventResponse],
            {
                "items": [
                    {
                        "id": "365072220160000050",
                        "at": "2026-05-01T09:30:00Z",
                        "kind": "access.denied",
                        "user_id": "365072220160000001",
                        "key_id": "365072220160000002",
                        "request_id": "4f1d2c3b5a697887",
                        "times": 3,
                        "detail": {
                            "status": 403,
                            "method": "DELETE",
                            "route": "/v1/profiles/<profile_id>",
                        },
                    }
                ],
                "next_cursor": None,
            },
        )
    },
)
