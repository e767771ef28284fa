"""Who asks: `Authorization: Bearer KEY` names a user, their tenant and the key's scopes; the cookie of a
session names a user, for all scopes. A request with both is the key's. What a route demands is in its
declaration (api/http/routes.py).

A browser sends the cookie whoever makes it ask, so whatever changes something by it must also name the
session's CSRF token, which other sites cannot read. Sessions are looked up each time.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from quart import Response, g, request
from werkzeug.exceptions import Unauthorized

from api.http.key_cache import KeyCache
from api.http.problems import REQUEST_ID
from api.http.routes import Access, Route
from engine.accounts.access import Caller
from engine.accounts.ports import SessionStore
from engine.common.errors import ExpiredError, ForbiddenError

COOKIE: Final = "waypost_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_BEARER: Final = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE | re.ASCII)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CurrentSession(NamedTuple):
    """The session of the request being handled."""

    id: int
    expires_at: datetime
    csrf_token: str


def current_caller() -> Caller:
    """Return who sent the request being handled."""
    caller: Caller = g.caller
    return caller


def caller_or_none() -> Caller | None:
    """Return who sent the request being handled; None if it came without credentials."""
    caller: Caller | None = g.get("caller")
    return caller


def session_or_none() -> CurrentSession | None:
    """Return the session of the request being handled; None for a key."""
    session: CurrentSession | None = g.get("session")
    return session


def current_session() -> CurrentSession:
    """Return the session of the request being handled. Raises ForbiddenError for a request by a key."""
    session = session_or_none()
    if session is None:
        raise ForbiddenError("this takes a session, not a key")
    return session


def request_id() -> str:
    return str(request.scope.get(REQUEST_ID, ""))


def csrf_token(token: str) -> str:
    """What a session's changes must name: a keyed hash, from which its token cannot be found."""
    digest = hashlib.blake2b(b"csrf", key=token.encode("ascii"), digest_size=32).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def set_cookie(response: Response, token: str, max_age_s: int, *, secure: bool) -> None:
    """Give the browser a session's token, or with an empty one take it away."""
    response.set_cookie(
        COOKIE, token, max_age=max_age_s, path="/", httponly=True, samesite="Lax", secure=secure
    )


class Auth:
    """Finds the caller of a request by their key or cookie, as the route demands. `note_use` is called for
    each caller found, with their session's id or 0."""

    def __init__(
        self,
        routes: Iterable[Route],
        keys: KeyCache,
        sessions: SessionStore,
        note_use: Callable[[Caller, int], None],
    ) -> None:
        self._access = {(route.method, route.rule): route.access for route in routes}
        self._keys = keys
        self._sessions = sessions
        self._note_use = note_use

    async def check(self) -> None:
        """Before a request: find its caller, or raise Unauthorized or ForbiddenError."""
        access = self._access_of_request()
        if access == "public":
            return
        authorization = request.headers.getlist("Authorization")
        token = request.cookies.get(COOKIE)
        caller: Caller | None = None
        if authorization:
            caller = await self._by_key(authorization)
        elif token:
            caller = await self._by_cookie(token)
            if caller is None and access != "optional":
                raise Unauthorized("this session has ended; log in again")
        elif access != "optional":
            raise Unauthorized("send the header `Authorization: Bearer KEY`, or log in")
        if caller is not None:
            session = session_or_none()
            self._note_use(caller, session.id if session else 0)
            g.caller = caller._replace(request_id=request_id())

    async def require_session(self) -> None:
        """Before a request that has been counted: refuse a key where the route takes a session only."""
        if self._access_of_request() == "session":
            current_session()

    def _access_of_request(self) -> Access:
        """Return what the route demands. Where there is no route, callers under `/v1` must say who they are
        before they hear of that."""
        under_v1 = request.path == "/v1" or request.path.startswith("/v1/")
        default: Access = "key" if under_v1 else "public"
        if request.url_rule is None:
            return default
        method = "GET" if request.method == "HEAD" else request.method
        return self._access.get((method, request.url_rule.rule), default)

    async def _by_cookie(self, token: str) -> Caller | None:
        session = await self._sessions.find(token)
        if session is None:
            return None
        caller, session_id, expires_at = session
        expected = csrf_token(token)
        if request.method not in _SAFE:
            named = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(named.encode(errors="replace"), expected.encode()):
                raise ForbiddenError(f"send the header {CSRF_HEADER} with the session's csrf_token")
        g.session = CurrentSession(session_id, expires_at, expected)
        return caller

    async def _by_key(self, headers: list[str]) -> Caller:
        match = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
        if match is None:
            raise Unauthorized("send the header `Authorization: Bearer KEY`")
        try:
            caller = await self._keys.authenticate(match[1])
        except ExpiredError as error:
            raise Unauthorized(str(error)) from None
        if caller is None:
            raise Unauthorized("this key is unknown")
        return caller
