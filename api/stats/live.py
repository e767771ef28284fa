"""`GET /v1/profiles/{id}/live`: clicks as they are committed, as server-sent events.

| event | data |
|---|---|
| `click` | one click: `time`, `link` (`0`: the page), and of what is known `country`, `city`, `referrer`, `source`, `device`, `browser`, `trigger`, `kind` |
| `minute` | `clicks`, `views`, `bots` of the last minute, since the stream began; when they change, at most once a second |
| `end` | `reason`: `slow` (the client did not keep up), `closing`, `access` (no longer the caller's to see), `busy`, `time` |

A comment every HEARTBEAT_S keeps proxies from closing it. A stream lasts MAX_S at most: whoever comes again
shows their key or session again. Of many clicks committed at once, the first 50 are told and all are counted.
"""  # noqa: E501  # the table is read as it stands

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import msgspec
import trio
from quart import Response

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
LOOK_S: Final = 15.0  # how often it is asked whether the caller may still see this
TICK_S: Final = 1.0
_RETRY: Final = b"retry: 2000\n\n"


class LiveEventResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event: `data` is JSON. The first has `retry` only, in ms."""

    event: Literal["click", "minute", "end"] | msgspec.UnsetType = msgspec.UNSET
    data: str | msgspec.UnsetType = msgspec.UNSET
    retry: int | msgspec.UnsetType = msgspec.UNSET


class LiveRoutes:
    def __init__(self, store: ProfileStore, watchers: LiveSubscribers) -> None:
        self._store = store
        self._watchers = watchers

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/live", self.read, _READ)]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        id_, who = path_id(profile_id), current_caller()
        await self._store.profile(who, id_)
        self._watchers.admit(who.user_id, id_)  # refused before an answer begins
        response = Response(self._stream(who, id_), content_type="text/event-stream")
        response.timeout = MAX_S + HEARTBEAT_S
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    async def _stream(self, who: Caller, profile_id: int) -> AsyncIterator[bytes]:
        try:
            with self._watchers.subscription(who.user_id, profile_id) as watcher:
                async for event in self._events(who, watcher):
                    yield event
        except (TooSoonError, UnavailableError):  # others came in between
            yield _event("end", {"reason": "busy"})

    async def _events(self, who: Caller, watcher: LiveSubscriber) -> AsyncIterator[bytes]:
        now = trio.current_time()
        until, look, beat = now + MAX_S, now + LOOK_S, now + HEARTBEAT_S
        told: tuple[int, int, int] | None = None
        tick = now
        yield _RETRY
        while not watcher.ended:
            await watcher.wait(TICK_S)
            now = trio.current_time()
            if now >= look:
                look = now + LOOK_S
                await self._recheck_access(who, watcher)
            if now >= until:
                watcher.end("time")
            some = b"".join(_event("click", _shown(one)) for one in _taken(watcher))
            minute = self._watchers.minute(watcher.profile_id)
            if minute != told and now >= tick:
                told, tick = minute, now + TICK_S
                some += _event(
                    "minute", dict(zip(("clicks", "views", "bots"), minute, strict=True))
                )
            if not some and now >= beat:
                some = b":\n\n"
            if some:
                beat = now + HEARTBEAT_S
                yield some
        yield _event("end", {"reason": watcher.ended})

    async def _recheck_access(self, who: Caller, watcher: LiveSubscriber) -> None:
        try:
            await self._store.profile(who, watcher.profile_id)
        except (NotFoundError, ForbiddenError):
            watcher.clicks.clear()
            watcher.end("access")
        except UnavailableError:
            pass  # nobody can tell: the next look will, or the stream ends in time


def _taken(watcher: LiveSubscriber) -> list[LiveClick]:
    taken = list(watcher.clicks)
    watcher.clicks.clear()
    return taken


def _shown(click: LiveClick) -> dict[str, Any]:
    time = time_of(click.at_us)
    return {"time": time, "link": str(click.link_id), **click.values}


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


_READ: Final = Doc(
    id="watchClicks",
    summary="Watch clicks as they come",
    tag="Statistics",
    description="Server-sent events: `click` for each that is committed, `minute` with the counts of the last "
    "minute, `end` with a reason. A stream ends after ten minutes at the latest; come again with the key. One "
    "user may have six at once, else 429.",
    responses={
        200: ResponseDoc(
            "Events, until it ends.",
            LiveEventResponse,
            {
                "event": "click",
                "data": '{"time":"2026-05-01T10:00:00Z","link":"365072220160000011","country":"DE"}',
            },
            content_type="text/event-stream",
        )
    },
)
