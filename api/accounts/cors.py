"""Cross-origin requests (Fetch, CORS): pages of other origins may use a key or a share that allows them.

A response carries `Access-Control-Allow-Origin` for exactly the origins of the credential that the request came
with; no origin is allowed by default, and cookies are never allowed. A browser sends a preflight without the
credential: it is allowed for an origin that any key or share allows, and tells a page nothing more than that.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio
from quart import Quart, Response, request

from api.http.auth import caller_or_none, share_or_none
from api.http.bodies import empty_response
from api.http.rate_limits import ApiRateLimiter
from api.http.routes import is_api_path
from engine.common.errors import ForbiddenError
from engine.common.origins import is_origin

CACHE_S: Final = 5.0
MAX_CACHED: Final = 1_024  # origins, of any tenant and none
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, "
    "X-Request-Id",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = (
    "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Request-Id"
)

AllowsOrigin = Callable[[str], Awaitable[bool]]


class CrossOrigin:
    """Cross-origin requests of an app. Each of `sources` says whether one of its credentials, of any tenant,
    allows an origin."""

    def __init__(self, sources: Sequence[AllowsOrigin], limiter: ApiRateLimiter) -> None:
        self._sources = sources
        self._limiter = limiter
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    def register(self, app: Quart) -> None:
        """Answer preflights, and complete responses. Call before the requests are authenticated."""
        app.before_request(self._answer_preflight)
        app.after_request(_complete)

    async def _answer_preflight(self) -> Response | None:
        origin = request.headers.get("Origin", "")
        if request.method != "OPTIONS" or not is_api_path(request.path) or not origin:
            return None
        if "Access-Control-Request-Method" not in request.headers:
            return None
        self._limiter.charge_preflight()
        if not await self._allowed(origin):
            raise ForbiddenError("no key and no share allows pages of this origin")
        return empty_response(204, _PREFLIGHT | {"Access-Control-Allow-Origin": origin})

    async def _allowed(self, origin: str) -> bool:
        """Return whether any credential allows the origin, as known within the last CACHE_S."""
        if not is_origin(origin):
            return False
        known, until = self._known.get(origin, (False, 0.0))
        if trio.current_time() < until:
            return known
        started_at = trio.current_time()
        allowed = False
        for source in self._sources:
            allowed = allowed or await source(origin)
        self._known[origin] = allowed, started_at + CACHE_S
        self._known.move_to_end(origin)
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
        return allowed


async def _complete(response: Response) -> Response:
    """Add the headers of a response that depends on the request's origin."""
    if not is_api_path(request.path):
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if origin and origin in _origins():
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    return response


def _origins() -> Sequence[str]:
    """Return the origins that the credential of the current request allows."""
    caller, resolved = caller_or_none(), share_or_none()
    if resolved is not None:
        return resolved.share.origins
    return () if caller is None else caller.origins
