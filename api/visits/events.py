"""`POST /v1/profiles/{id}/events`: views, clicks and own events of pages elsewhere, as a server reports them.

They are in an edge's journal before the answer, and in no database. Who may report them is remembered for
ACCESS_S, so that a server that reports often asks Postgres once in a while.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Url, draft_of, json_object, json_response, printable_name
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Action, Caller
from engine.common.errors import FieldError, InvalidError
from engine.links.ports import ProfileStore
from engine.visits.hit import HitAnswer, HitOutcome
from engine.visits.hit_draft import (
    MAX_EVENTS,
    MAX_WITH_EXPERIMENTS,
    HitDraft,
    hit_of_event,
    validate_event,
)
from engine.visits.page_variant import PageVariant
from engine.visits.ports import HitSender

ACCESS_S: Final = 5.0
MAX_REMEMBERED: Final = 10_000


class EventsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Events, recorded in their order."""

    events: list[HitDraft]


class EventOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an event: `recorded`, `duplicate` (its id was recorded before), or `unknown`, as the
    profile has no link of this slug, or the link is closed.

    A view with `experiments` has `variants`, those of the page that its visitor gets, to be applied in their
    order. A click has `target`, where its visitor's variant leads; null if only Waypost may lead there, as the
    link has a password, a limit or a warning.
    """

    id: str
    outcome: HitOutcome
    variants: list[PageVariant] | msgspec.UnsetType = msgspec.UNSET
    target: Url | msgspec.UnsetType | None = msgspec.UNSET


class EventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of all events, in their order."""

    results: list[EventOutcome]


class _Access(NamedTuple):
    tenant_id: int
    handle: str
    until_s: float


class EventRoutes:
    """Route of events. `monotonic` returns seconds."""

    def __init__(
        self, profiles: ProfileStore, sender: HitSender, monotonic: Callable[[], float]
    ) -> None:
        self._profiles = profiles
        self._sender = sender
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[object, ...], _Access] = OrderedDict()

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/profiles/<profile_id>/events", self.report, _REPORT)]

    async def report(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        events = _events(await json_object())
        access = await self._access(current_caller(), id_)
        hits = [hit_of_event(event, access.tenant_id, id_, access.handle) for event in events]
        answers = await self._sender.send(id_, hits)
        results = [_outcome(*pair) for pair in zip(events, answers, strict=True)]
        return json_response(EventsResponse(results=results))

    async def _access(self, caller: Caller, profile_id: int) -> _Access:
        """Return the profile that the caller may report events of. Raises NotFoundError, ForbiddenError."""
        key = (caller.user_id, caller.key_id, caller.scopes, profile_id)
        access = self._known.get(key)
        now_s = self._monotonic()
        if access is None or access.until_s <= now_s:
            self._known.pop(key, None)
            profile = await self._profiles.profile(caller, profile_id, Action.EDIT)
            access = _Access(profile.tenant_id, profile.handle, now_s + ACCESS_S)
            self._known[key] = access
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return access


def _outcome(event: HitDraft, answer: HitAnswer) -> EventOutcome:
    takes_part = event.experiments and answer.outcome != "unknown"
    return EventOutcome(
        id=event.id,
        outcome=answer.outcome,
        variants=list(answer.variants) if takes_part and event.type == "view" else msgspec.UNSET,
        target=answer.target if takes_part and event.type == "click" else msgspec.UNSET,
    )


def _events(body: dict[str, Any]) -> list[HitDraft]:
    """Return the events of a body. Raises InvalidError with every bad field: `events[2].address`."""
    errors = [
        FieldError(printable_name(name), "is not a field here; the only field is events")
        for name in body
        if name != "events"
    ]
    items = body.get("events")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_EVENTS:
        errors.append(FieldError("events", f"must be a list of 1 to {MAX_EVENTS} events"))
        raise InvalidError(errors)
    events: list[HitDraft] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            errors.append(FieldError(f"events[{index}]", "must be an object"))
            continue
        try:
            events.append(draft_of(HitDraft, item, validate_event, {}))
        except InvalidError as error:
            errors += [FieldError(f"events[{index}].{e.field}", e.reason) for e in error.errors]
    if sum(event.experiments for event in events) > MAX_WITH_EXPERIMENTS:
        reason = f"must have experiments in at most {MAX_WITH_EXPERIMENTS} of a request"
        errors.append(FieldError("events", reason))
    if errors:
        raise InvalidError(errors)
    return events


_REPORT: Final = Doc(
    id="reportEvents",
    summary="Report events of pages elsewhere",
    tag="Profiles",
    description=f"Views, clicks and own events that your server saw, 1 to {MAX_EVENTS} at once; counted as "
    "those at the visitors' door, with the same rules, places and pseudonyms. They are in a journal before the "
    "answer. An event that is sent again with its `id` is recorded once, for ten minutes at least. After a 503 "
    "send all again. If any event is invalid, none is recorded. Takes the role editor.",
    body=EventsBody,
    body_example={
        "events": [
            {
                "id": "req-81f2",
                "type": "click",
                "slug": "spring",
                "address": "203.0.113.9",
                "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)",
                "language": "de-DE",
                "url": "https://ada.example/?utm_source=ig",
                "referrer": "https://l.instagram.com/",
                "experiments": True,
            },
            {
                "id": "signup-1207",
                "event": "signup",
                "properties": {"plan": "pro", "seats": 3},
                "address": "203.0.113.9",
            },
        ]
    },
    responses={
        200: ResponseDoc(
            "Each is recorded, was recorded before, or is of no link.",
            EventsResponse,
            {
                "results": [
                    {
                        "id": "req-81f2",
                        "outcome": "recorded",
                        "target": "https://shop.example/spring-video",
                    },
                    {"id": "signup-1207", "outcome": "recorded"},
                ]
            },
        )
    },
)
