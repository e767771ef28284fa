"""`GET /v1/profiles/{id}/live`: clicks as they are committed, as server-sent events.

| event | data |
|---|---|
| `click` | its `id`, and one click: `time`, `link` (`0`: the page), and as far as known `country`, `city`, `referrer`, `source`, `device`, `browser`, `trigger`, `kind` |
| `minute` | `clicks`, `views`, `bots` of the last minute, since the stream began; when they change, at most once a second |
| `gap` | `reason`: clicks before the following ones may be missing, `resume` (those since `Last-Event-ID` are no longer kept) or `lost` (Redis did not deliver them) |
| `end` | `reason`: `slow` (the client did not keep up), `closing`, `access` (the caller lost access), `busy`, `time` |

The first event, which has `retry` only, says that the stream is open: it has each click that is committed from
then on. A client that connects again with the header `Last-Event-ID` gets the clicks since that event, if it comes
to the same console within KEEP_S and they were not too many; or a `gap`.

A comment every HEARTBEAT_S keeps proxies from closing the connection. A stream lasts MAX_S at most; the
client then connects and authenticates again. Of many clicks in one commit, the first 50 are sent and all
are counted.
"""  # noqa: E501  # the table is read as it stands

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import msgspec
import trio
from quart import Response, request

from actors.stats.live_subscribers import LiveSubscriber, LiveSubscribers
from api.http.auth import current_caller
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.clicks.click import time_of
from engine.common.errors import ForbiddenError, NotFoundError, TooSoonError, UnavailableError
from engine.links.ports import ProfileStore
from engine.stats.live import LiveClick

MAX_S: Final = 600.0
HEARTBEAT_S: Final = 15.0
RECHECK_S: Final = 15.0  # between two checks of the caller's access
TICK_S: Final = 1.0
_RETRY: Final = b"retry: 2000\n\n"


class LiveEventResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event; `data` is JSON, `id` that of a click. The first event has `retry` only, in ms."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    event: Literal["click", "minute", "gap", "end"] | msgspec.UnsetType = msgspec.UNSET
    data: str | msgspec.UnsetType = msgspec.UNSET
    retry: int | msgspec.UnsetType = msgspec.UNSET


class LiveRoutes:
    """Routes of live updates."""

    def __init__(self, store: ProfileStore, subscribers: LiveSubscribers) -> None:
        self._store = store
        self._subscribers = subscribers

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/live", self.read, _READ)]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        id_, caller = path_id(profile_id), current_caller()
        await self._store.profile(caller, id_)
        self._subscribers.admit(caller.user_id, id_)  # so that a refusal is a problem response
        last_event_id = request.headers.get("Last-Event-ID", "")
        stream = self._stream(caller, id_, last_event_id)
        response = Response(stream, content_type="text/event-stream")
        response.timeout = MAX_S + HEARTBEAT_S
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    async def _stream(
        self, caller: Caller, profile_id: int, last_event_id: str
    ) -> AsyncIterator[bytes]:
        try:
            with self._subscribers.subscription(
                caller.user_id, profile_id, last_event_id
            ) as subscriber:
                await self._subscribers.open(subscriber)
                async for event in self._events(caller, subscriber):
                    yield event
        except (TooSoonError, UnavailableError):  # other subscribers came in between
            yield _event("end", {"reason": "busy"})

    async def _events(self, caller: Caller, subscriber: LiveSubscriber) -> AsyncIterator[bytes]:
        now = trio.current_time()
        until, next_check, beat = now + MAX_S, now + RECHECK_S, now + HEARTBEAT_S
        sent_minute: tuple[int, int, int] | None = None
        tick, wait_s = now, TICK_S
        yield _RETRY
        while not subscriber.ended:
            await subscriber.wait(wait_s)
            now = trio.current_time()
            if now >= next_check:
                next_check = now + RECHECK_S
                await self._recheck_access(caller, subscriber)
            if now >= until:
                subscriber.end("time")
            events = self._clicks_of(subscriber)
            minute = self._subscribers.minute(subscriber.profile_id)
            if minute != sent_minute and now >= tick:
                sent_minute, tick = minute, now + TICK_S
                events += _event(
                    "minute", dict(zip(("clicks", "views", "bots"), minute, strict=True))
                )
            if not events and now >= beat:
                events = b":\n\n"
            if events:
                beat = now + HEARTBEAT_S
                yield events
            # Counts leave a minute as time goes by; of one without any, only an update makes another.
            quiet = minute == sent_minute and not any(minute)
            wait_s = max(0.0, min(next_check, beat) - now) if quiet else TICK_S
        yield _event("end", {"reason": subscriber.ended})

    def _clicks_of(self, subscriber: LiveSubscriber) -> bytes:
        """Take what waits. Returns its events."""
        gap, subscriber.gap = subscriber.gap, ""
        events = [_event("gap", {"reason": gap})] if gap else []
        while subscriber.clicks:
            click = subscriber.clicks.popleft()
            id_ = self._subscribers.event_id(click)
            events.append(b"id: %b\n" % id_.encode() + _event("click", _click_data(click.click)))
        return b"".join(events)

    async def _recheck_access(self, caller: Caller, subscriber: LiveSubscriber) -> None:
        try:
            await self._store.profile(caller, subscriber.profile_id)
        except (NotFoundError, ForbiddenError):
            subscriber.clicks.clear()
            subscriber.end("access")
        except UnavailableError:
            pass  # the next check decides, or the stream ends in time


def _click_data(click: LiveClick) -> dict[str, Any]:
    time = time_of(click.at_us)
    return {"time": time, "link": str(click.link_id), **click.values}


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


_READ: Final = Doc(
    id="watchClicks",
    summary="Stream clicks as they are committed",
    tag="Statistics",
    description="Server-sent events: `click` for each committed click, `minute` with the counts of the last "
    "minute, `gap` where clicks may be missing, `end` with a reason. A stream ends after ten minutes at the "
    "latest; then connect again, with `Last-Event-ID` to get the clicks since that event. A user may have "
    "six streams at once; further requests get 429.",
    responses={
        200: ResponseDoc(
            "Events, until the stream ends.",
            LiveEventResponse,
            {
                "id": "5f3a9c01.42",
                "event": "click",
                "data": '{"time":"2026-05-01T10:00:00Z","link":"365072220160000011","country":"DE"}',
            },
            content_type="text/event-stream",
        )
    },
)
