"""Polls of stats that are answered before the app: 304, while the counts of the caller's tag are current.

A dashboard asks the same each second, and nearly always nothing is new. To set a request up in Quart takes more
time than to answer it. So StatsRoutes notes each tag that it sends, with the request that it is for; the same
request with this tag is answered here, if its key was valid and its caller allowed to see the profile within
the last seconds. It is charged to its rate limits, and counted, like any other. All else goes to the app.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import trio

from api.http.auth import bearer_key
from api.http.etag import names_tag
from api.http.guard import ASGIApp, Headers, Receive, Send
from api.http.key_cache import KeyCache
from api.http.protocol import Scope
from api.http.rate_limits import ApiRateLimiter
from engine.accounts.access import Caller
from engine.operations.metrics import Metric, Sample
from engine.stats.ports import ProfileKey

MAX_POLLS: Final = 4_096
MAX_TARGET_BYTES: Final = 2_048
QUARTER_S: Final = 900
# Fields of requests that only the app answers: those with a body, and those of pages of other origins.
_APP_ONLY: Final = frozenset({b"content-length", b"transfer-encoding", b"origin"})
_READ: Final = frozenset({b"host", b"authorization", b"if-none-match"})

POLLS: Final = Metric(
    "waypost_stats_polls_total", "Polls of stats answered 304 without the app, as nothing was new"
)

Target = tuple[bytes, bytes, bytes]  # Host, path and query
Version = Callable[[Sequence[ProfileKey]], Awaitable[str | None]]


class PollHead(NamedTuple):
    """Head of a request that may be a poll; fields are '' where the request has none."""

    target: Target
    authorization: str
    if_none_match: str


class _Poll(NamedTuple):
    profile: ProfileKey
    tag: str
    version: str
    until: float


class RecentPolls:
    """The tags of recent answers, by caller and request. `version` returns that of profiles' stats."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._polls: OrderedDict[tuple[Caller, Target], _Poll] = OrderedDict()
        self.answered = 0

    def note(
        self,
        scope: Scope,
        caller: Caller,
        profile: ProfileKey,
        tag: str,
        version: str,
        *,
        now: datetime,
        until: float,
    ) -> None:
        """Note the tag of an answer at a version, until trio's time `until` at most: relative periods are cut
        to quarters of an hour, so the answer is for the running one."""
        head = poll_head(scope)
        if head is None:
            return
        rest_s = QUARTER_S - now.timestamp() % QUARTER_S
        key = caller._replace(request_id=""), head.target
        until = min(until, trio.current_time() + rest_s)
        self._polls[key] = _Poll(profile, tag, version, until)
        self._polls.move_to_end(key)
        if len(self._polls) > MAX_POLLS:
            self._polls.popitem(last=False)

    async def current_tag(self, caller: Caller, target: Target) -> str | None:
        """Return the tag of the request's answer if it is known, and nothing was counted since."""
        poll = self._polls.get((caller._replace(request_id=""), target))
        if poll is None or trio.current_time() >= poll.until:
            return None
        return poll.tag if await self._version([poll.profile]) == poll.version else None

    def samples(self) -> list[Sample]:
        return [POLLS.sample(self.answered)]


class PollResponder:
    """An ASGI app that answers polls, in front of `app`."""

    def __init__(
        self,
        app: ASGIApp,
        polls: RecentPolls,
        keys: KeyCache,
        limiter: ApiRateLimiter,
        note_use: Callable[[Caller, int], None],
    ) -> None:
        self._app = app
        self._polls = polls
        self._keys = keys
        self._limiter = limiter
        self._note_use = note_use

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = await self._not_modified(scope) if scope["type"] == "http" else None
        if headers is None:
            await self._app(scope, receive, send)
            return
        self._polls.answered += 1
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _not_modified(self, scope: Scope) -> Headers | None:
        """Return the headers of a poll's answer, or None if the app has to answer."""
        head = poll_head(scope)
        if head is None or not head.if_none_match:
            return None
        key = bearer_key(head.authorization)
        caller = None if key is None else self._keys.cached(key)
        if caller is None:
            return None
        tag = await self._polls.current_tag(caller, head.target)
        if tag is None or not names_tag(head.if_none_match, tag):
            return None
        limits = await self._limiter.charge_read(scope, caller)
        if limits is None:
            return None
        self._note_use(caller, 0)
        fields = [*cache_headers(tag).items(), *limits]
        return [(name.lower().encode(), value.encode()) for name, value in fields]


def poll_head(scope: Scope) -> PollHead | None:
    """Return the head of a request that may be a poll; None if it has another method, a body, an origin, a long
    target or one of the fields twice."""
    path, query = scope["raw_path"], scope["query_string"]
    if scope["method"] != "GET" or len(path) + len(query) > MAX_TARGET_BYTES:
        return None
    values: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in values:
                return None
            values[name] = value
        elif name in _APP_ONLY:
            return None
    return PollHead(
        (values.get(b"host", b""), path, query),
        values.get(b"authorization", b"").decode("latin1"),
        values.get(b"if-none-match", b"").decode("latin1"),
    )


def cache_headers(tag: str | None) -> dict[str, str]:
    """Return headers by which a client revalidates a response before it uses it again."""
    if tag is None:
        return {}
    return {
        "ETag": f'W/"{tag}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie, Origin",
    }
