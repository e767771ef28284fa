"""`/v1/webhooks/{id}/deliveries`: what was sent to a webhook, each attempt of it, and sending it again."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.auth import caller
from api.bodies import Id, ListAnswer, answer, draft_of, json_object, utc
from api.query import PAGE, nothing_else, page_answer, page_of, parameters, path_id
from api.routes import Answer, Doc, Parameter, Route
from engine.activity import with_ids
from engine.delivery import KEPT_DAYS, REPLAYED_AT_ONCE, STATES, AttemptMade, Delivery
from engine.errors import FieldError, InvalidError
from engine.event import EVENT_TYPES, body_of, event_id
from engine.ports_webhooks import WebhookStore
from engine.webhook import DeliveryFilter


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is what was answered; null when nothing was, and then `error` says why. `response` is the
    beginning of the answer's body."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response: str


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the event's; receivers see it as `message_id`. `attempts` are the newest 20, oldest first."""

    id: Id
    message_id: str
    type: str
    occurred_at: datetime
    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(STATES)})]
    attempt_count: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    attempts: list[AttemptAnswer]
    body: dict[str, Any]


class ReplayDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Send again what has happened since; with `failed_only` false, what was delivered too."""

    since: datetime
    failed_only: bool = True


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`next_since` is there when more are left: ask again from then on."""

    replayed: int
    next_since: datetime | None


class DeliveryRoutes:
    def __init__(self, store: WebhookStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        one = "/v1/webhooks/<webhook_id>/deliveries/<delivery_id>"
        return [
            Route("GET", "/v1/webhooks/<webhook_id>/deliveries", self.page, _LIST),
            Route("GET", one, self.read, _READ),
            Route("POST", f"{one}/replay", self.replay, _REPLAY),
            Route("POST", "/v1/webhooks/<webhook_id>/replay", self.replay_since, _REPLAY_SINCE),
            Route("POST", "/v1/webhooks/<webhook_id>/test", self.test, _TEST),
        ]

    async def page(self, webhook_id: str) -> Response:
        given, errors = parameters("cursor", "limit", "state", "type")
        before, limit = page_of(given, errors)
        for name, known in (("state", STATES), ("type", tuple(EVENT_TYPES))):
            if name in given and given[name] not in known:
                errors.append(FieldError(name, f"must be one of {', '.join(known)}"))
        if errors:
            raise InvalidError(errors)
        asked = DeliveryFilter(given.get("state"), given.get("type"))
        found = await self._store.deliveries(caller(), path_id(webhook_id), asked, before, limit)
        return answer(page_answer(found, shown))

    async def read(self, webhook_id: str, delivery_id: str) -> Response:
        nothing_else()
        found = await self._store.delivery(caller(), path_id(webhook_id), path_id(delivery_id))
        return answer(shown(found))

    async def replay(self, webhook_id: str, delivery_id: str) -> Response:
        nothing_else()
        found = await self._store.replay(caller(), path_id(webhook_id), path_id(delivery_id))
        return answer(shown(found), 202)

    async def replay_since(self, webhook_id: str) -> Response:
        nothing_else()
        id_ = path_id(webhook_id)
        draft = draft_of(ReplayDraft, await json_object(), _checked, {})
        count, more = await self._store.replay_since(caller(), id_, draft.since, draft.failed_only)
        next_since = None if more is None else utc(more)
        return answer(ReplayAnswer(replayed=count, next_since=next_since), 202)

    async def test(self, webhook_id: str) -> Response:
        nothing_else()
        return answer(shown(await self._store.send_test(caller(), path_id(webhook_id))), 202)


def _checked(draft: ReplayDraft) -> tuple[ReplayDraft | None, list[FieldError]]:
    if draft.since.tzinfo is None:
        return None, [FieldError("since", "must have an offset, as in 2026-12-31T00:00:00Z")]
    return draft, []


def shown(delivery: Delivery) -> DeliveryAnswer:
    return DeliveryAnswer(
        id=str(delivery.event_id),
        message_id=event_id(delivery.event_id),
        type=delivery.type,
        occurred_at=utc(delivery.at),
        state=delivery.state,
        attempt_count=delivery.attempts,
        next_attempt_at=None if delivery.next_attempt_at is None else utc(delivery.next_attempt_at),
        finished_at=None if delivery.finished_at is None else utc(delivery.finished_at),
        attempts=[_attempt(one) for one in delivery.made],
        body=_body(delivery),
    )


def _body(delivery: Delivery) -> dict[str, Any]:
    """Empty for an event that an earlier version wrote and this one cannot send."""
    try:
        text = body_of(delivery.type, delivery.at, delivery.data)
    except (KeyError, msgspec.ValidationError):
        return {}
    return msgspec.json.decode(text, type=dict[str, Any])


def _attempt(made: AttemptMade) -> AttemptAnswer:
    return AttemptAnswer(
        number=made.number,
        at=utc(made.at),
        duration_ms=made.duration_ms,
        status=made.status,
        error=made.error or None,
        response=made.response.decode("utf-8", "replace"),
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
        "data": with_ids(dict(EVENT_TYPES["link.milestone"].example)),
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
    description=f"Newest event first, each with its attempts. They are kept for {KEPT_DAYS} days. Takes the "
    "role admin.",
    query=(
        *PAGE,
        Parameter(
            "state",
            "Only those.",
            Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(STATES)})$")],
            "failed",
        ),
        Parameter("type", "Only events of this type.", str, "link.created"),
    ),
    answers={
        200: Answer(
            "A page of deliveries.",
            ListAnswer[DeliveryAnswer],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readDelivery",
    summary="Read a delivery",
    tag="Webhooks",
    description="With its attempts. Takes the role admin.",
    answers={200: Answer("The delivery.", DeliveryAnswer, _EXAMPLE)},
)
_REPLAY: Final = Doc(
    id="replayDelivery",
    summary="Send one delivery again",
    tag="Webhooks",
    description="Whatever became of it, as if for the first time and with the same id. Takes the role admin.",
    answers={202: Answer("It will be sent.", DeliveryAnswer, _QUEUED)},
    errors=(409,),
)
_REPLAY_SINCE: Final = Doc(
    id="replayDeliveries",
    summary="Send again what happened since",
    tag="Webhooks",
    description="Oldest first, also what happened while the webhook was disabled. "
    f"{REPLAYED_AT_ONCE:,} at most in one call. Takes the role admin.",
    body=ReplayDraft,
    body_example={"since": "2026-05-01T00:00:00Z"},
    answers={202: Answer("They will be sent.", ReplayAnswer, {"replayed": 17, "next_since": None})},
    errors=(409,),
)
_TEST: Final = Doc(
    id="testWebhook",
    summary="Send a test event",
    tag="Webhooks",
    description="An event `endpoint.test`, to this webhook alone. Takes the role admin.",
    answers={202: Answer("It will be sent.", DeliveryAnswer, _QUEUED | {"type": "endpoint.test"})},
    errors=(409,),
)
