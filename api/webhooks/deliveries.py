"""`/v1/webhooks/{id}/deliveries`: deliveries to a webhook with their attempts, and replays."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    draft_of,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import (
    PAGE,
    moments,
    page_of,
    page_response,
    parameters,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import StoredResponse
from engine.webhooks.delivery import (
    DELIVERY_STATES,
    REPLAYED_AT_ONCE,
    RETENTION_DAYS,
    Delivery,
    RecordedAttempt,
)
from engine.webhooks.events import EVENT_TYPES, encode_body, event_id
from engine.webhooks.ports import WebhookStore
from engine.webhooks.webhook import DeliveryFilter


class AttemptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt at a delivery. `status` is that of the receiver's response; null without a response, and then
    `error` says why. `response` is the beginning of its body."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response: str


class DeliveryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery. `id` is the event's; receivers see it as `message_id`. `attempts` are the newest 20, oldest
    first."""

    id: Id
    message_id: str
    type: str
    occurred_at: datetime
    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(DELIVERY_STATES)})]
    attempt_count: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    attempts: list[AttemptResponse]
    body: dict[str, Any]


class ReplayDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of the events since a time: of failed deliveries, or with `failed_only` false of all. `dry_run`:
    count them, and send nothing."""

    since: Annotated[datetime, StandIn(datetime(2026, 1, 1, tzinfo=UTC))]
    failed_only: bool = True
    dry_run: bool = False


class ReplayResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The number of replayed deliveries, or after a dry run of those that would be. `next_since` is set if more
    are left: call again with it."""

    replayed: int
    next_since: datetime | None


class DeliveryRoutes:
    def __init__(self, store: WebhookStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        path = "/v1/webhooks/<webhook_id>/deliveries/<delivery_id>"
        return [
            Route("GET", "/v1/webhooks/<webhook_id>/deliveries", self.list_page, _LIST),
            Route("GET", path, self.read, _READ),
            Route("POST", f"{path}/replay", self.replay, _REPLAY),
            Route("POST", "/v1/webhooks/<webhook_id>/replay", self.replay_since, _REPLAY_SINCE),
            Route("POST", "/v1/webhooks/<webhook_id>/test", self.test, _TEST),
        ]

    async def list_page(self, webhook_id: str) -> Response:
        query, errors = parameters("cursor", "limit", "state", "type", "from", "to")
        before, limit = page_of(query, errors)
        times = moments(query, ("from", "to"), errors)
        for name, values in (("state", DELIVERY_STATES), ("type", tuple(EVENT_TYPES))):
            if name in query and query[name] not in values:
                errors.append(FieldError(name, f"must be one of {', '.join(values)}"))
        if errors:
            raise InvalidError(errors)
        filter_ = DeliveryFilter(
            query.get("state"), query.get("type"), times.get("from"), times.get("to")
        )
        items = await self._store.deliveries(
            current_caller(), path_id(webhook_id), filter_, before, limit
        )
        return json_response(page_response(items, delivery_response))

    async def read(self, webhook_id: str, delivery_id: str) -> Response:
        refuse_parameters()
        delivery = await self._store.delivery(
            current_caller(), path_id(webhook_id), path_id(delivery_id)
        )
        return json_response(delivery_response(delivery))

    async def replay(self, webhook_id: str, delivery_id: str) -> Response:
        refuse_parameters()
        delivery = await self._store.replay(
            current_caller(), path_id(webhook_id), path_id(delivery_id)
        )
        return json_response(delivery_response(delivery), 202)

    async def replay_since(self, webhook_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(webhook_id)
        draft = draft_of(ReplayDraft, await json_object(), _validate, {})
        count, next_since = await self._store.replay_since(
            current_caller(), id_, draft.since, draft.failed_only, draft.dry_run
        )
        response = ReplayResponse(
            replayed=count, next_since=None if next_since is None else utc(next_since)
        )
        return json_response(response, 200 if draft.dry_run else 202)

    async def test(self, webhook_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(webhook_id)
        idempotent_request = await idempotency_of_request(_queued)
        return response_of(
            _queued(await self._store.send_test(current_caller(), id_, idempotent_request))
        )


def _queued(delivery: Delivery) -> StoredResponse:
    return replayable_response(delivery_response(delivery), 202, {})


def _validate(draft: ReplayDraft) -> tuple[ReplayDraft | None, list[FieldError]]:
    if draft.since.tzinfo is None:
        return None, [FieldError("since", "must have a time zone, as in 2026-12-31T00:00:00Z")]
    return draft, []


def delivery_response(delivery: Delivery) -> DeliveryResponse:
    """Return a delivery as the API shows it."""
    return DeliveryResponse(
        id=str(delivery.event_id),
        message_id=event_id(delivery.event_id),
        type=delivery.type,
        occurred_at=utc(delivery.at),
        state=delivery.state,
        attempt_count=delivery.attempts,
        next_attempt_at=None if delivery.next_attempt_at is None else utc(delivery.next_attempt_at),
        finished_at=None if delivery.finished_at is None else utc(delivery.finished_at),
        attempts=[_attempt_response(attempt) for attempt in delivery.recent_attempts],
        body=_body(delivery),
    )


def _body(delivery: Delivery) -> dict[str, Any]:
    """Return the body that is sent; empty for an event of an earlier version that this one cannot send."""
    try:
        text = encode_body(delivery.type, delivery.at, delivery.data)
    except (KeyError, msgspec.ValidationError):
        return {}
    return msgspec.json.decode(text, type=dict[str, Any])


def _attempt_response(attempt: RecordedAttempt) -> AttemptResponse:
    return AttemptResponse(
        number=attempt.number,
        at=utc(attempt.at),
        duration_ms=attempt.duration_ms,
        status=attempt.status,
        error=attempt.error or None,
        response=attempt.response.decode("utf-8", "replace"),
    )


_EXAMPLE: Final = {
    "id": "365072220160000008",
    "message_id": "evt_365072220160000008",
    "type": "link.milestone",
    "occurred_at": "2026-05-01T09:31:00Z",
    "state": "delivered",
    "attempt_count": 1,
    "next_attempt_at": None,
    "finished_at": "2026-05-01T09:31:01Z",
    "attempts": [
        {
            "number": 1,
            "at": "2026-05-01T09:31:00.4Z",
            "duration_ms": 87,
            "status": 200,
            "error": None,
            "response": "ok",
        }
    ],
    "body": {
        "type": "link.milestone",
        "timestamp": "2026-05-01T09:31:00Z",
        "data": dict(EVENT_TYPES["link.milestone"].example),
    },
}
_QUEUED: Final = _EXAMPLE | {
    "state": "pending",
    "attempt_count": 0,
    "attempts": [],
    "next_attempt_at": "2026-05-01T09:31:00Z",
    "finished_at": None,
}
_LIST: Final = Doc(
    id="listDeliveries",
    summary="List a webhook's deliveries",
    tag="Webhooks",
    description=f"Newest event first, each with its attempts. They are kept for {RETENTION_DAYS} days. Takes "
    "the role admin.",
    query=(
        *PAGE,
        Parameter(
            "state",
            "Only deliveries in this state.",
            Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(DELIVERY_STATES)})$")],
            "failed",
        ),
        Parameter("type", "Only events of this type.", str, "link.created"),
        Parameter(
            "from", "Only events since then: an instant, or a UTC date.", example="2026-05-01"
        ),
        Parameter("to", "Only events before then: an instant, or a UTC date."),
    ),
    responses={
        200: ResponseDoc(
            "A page of deliveries.",
            ListResponse[DeliveryResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readDelivery",
    summary="Read a delivery",
    tag="Webhooks",
    description="The delivery with its attempts. Takes the role admin.",
    responses={200: ResponseDoc("The delivery.", DeliveryResponse, _EXAMPLE)},
)
_REPLAY: Final = Doc(
    id="replayDelivery",
    summary="Replay a delivery",
    tag="Webhooks",
    description="Sends the event again, whatever the state of its delivery. The event keeps its id, and may "
    "take the full number of attempts again. Takes the role admin.",
    responses={202: ResponseDoc("The event will be sent.", DeliveryResponse, _QUEUED)},
    errors=(409,),
)
_REPLAY_SINCE: Final = Doc(
    id="replayDeliveries",
    summary="Replay deliveries since a time",
    tag="Webhooks",
    description="Sends events again, oldest first, including those from while the webhook was disabled; at "
    f"most {REPLAYED_AT_ONCE:,} in one call. With `dry_run`, counts them, also for a disabled webhook. "
    "Takes the role admin.",
    body=ReplayDraft,
    body_example={"since": "2026-05-01T00:00:00Z"},
    responses={
        200: ResponseDoc(
            "So many would be sent.", ReplayResponse, {"replayed": 17, "next_since": None}
        ),
        202: ResponseDoc(
            "The events will be sent.", ReplayResponse, {"replayed": 17, "next_since": None}
        ),
    },
    errors=(409,),
)
_TEST: Final = Doc(
    id="testWebhook",
    summary="Send a test event",
    tag="Webhooks",
    description="Sends an event `endpoint.test` to this webhook only. Takes the role admin.",
    responses={
        202: ResponseDoc(
            "The event will be sent.", DeliveryResponse, _QUEUED | {"type": "endpoint.test"}
        )
    },
    errors=(409,),
    idempotent=True,
)
