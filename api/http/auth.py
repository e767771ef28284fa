"""Authentication of API requests, by API key, session cookie or token of a share.

`Authorization: Bearer KEY` names a user, their tenant and the key's scopes; a session's cookie names a user,
with all scopes. A request with both is the key's. The token of a share stands for no user: it opens the routes
that declare so, which read within the share's bounds. Each route declares what it demands (api/http/routes.py).

A browser sends the cookie with requests that other sites cause, too. So a change by cookie must also carry
the session's CSRF token, which other sites cannot read. Each request looks its session up.
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

from api.http.key_cache import KeyCache, ShareCache
from api.http.problems import REQUEST_ID
from api.http.routes import Access, Route, is_api_path
from engine.accounts.access import Caller
from engine.accounts.ports import SessionStore
from engine.common.errors import ExpiredError, ForbiddenError
from engine.stats.dashboards.share import ResolvedShare

COOKIE: Final = "waypost_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_BEARER: Final = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE | re.ASCII)
SHARE_PREFIX: Final = "wpr_"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CurrentSession(NamedTuple):
    """The session of the current request."""

    id: int
    expires_at: datetime
    csrf_token: str


def current_caller() -> Caller:
    """Return the caller of the current request."""
    caller: Caller = g.caller
    return caller


def caller_or_none() -> Caller | None:
    """Return the caller of the current request, or None if it came without credentials."""
    caller: Caller | None = g.get("caller")
    return caller


def share_or_none() -> ResolvedShare | None:
    """Return the share by whose token the current request came, or None."""
    share: ResolvedShare | None = g.get("share")
    return share


def require_share() -> ResolvedShare:
    """Return the share of the current request. Raises ForbiddenError if it came with a key or a session."""
    share = share_or_none()
    if share is None:
        raise ForbiddenError("this takes the token of a share, not a key or a session")
    return share


def session_or_none() -> CurrentSession | None:
    """Return the session of the current request, or None if it came with an API key."""
    session: CurrentSession | None = g.get("session")
    return session


def current_session() -> CurrentSession:
    """Return the session of the current request. Raises ForbiddenError if it came with an API key."""
    session = session_or_none()
    if session is None:
        raise ForbiddenError("this takes a session, not a key")
    return session


def current_credential() -> str:
    """Return the API key or session token that the current request came with."""
    credential: str = g.credential
    return credential


def request_id() -> str:
    """Return the id of the current request."""
    return str(request.scope.get(REQUEST_ID, ""))


def bearer_key(authorization: str) -> str | None:
    """Return the API key in a value of `Authorization`, or None if it has none."""
    match = _BEARER.fullmatch(authorization.strip())
    return None if match is None else match[1]


def csrf_token(token: str) -> str:
    """Return the CSRF token of a session: a keyed hash, from which the session's token cannot be found."""
    digest = hashlib.blake2b(b"csrf", key=token.encode("ascii"), digest_size=32).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def set_cookie(response: Response, token: str, max_age_s: int, *, secure: bool) -> None:
    """Set the session cookie. An empty token with age 0 deletes it in the browser."""
    response.set_cookie(
        COOKIE, token, max_age=max_age_s, path="/", httponly=True, samesite="Lax", secure=secure
    )


class Auth:
    """Authenticator of requests, by key or cookie, as their routes demand.

    `note_use` is called for each authenticated request, with its caller and the session's id (0: a key).
    """

    def __init__(
        self,
        routes: Iterable[Route],
        keys: KeyCache,
        shares: ShareCache,
        sessions: SessionStore,
        note_use: Callable[[Caller, int], None],
    ) -> None:
        self._access = {(route.method, route.rule): route.access for route in routes}
        self._keys = keys
        self._shares = shares
        self._sessions = sessions
        self._note_use = note_use

    async def check(self) -> None:
        """Authenticate the current request. Raises Unauthorized or ForbiddenError."""
        access = self._access_of_request()
        if access == "public":
            return
        authorization = request.headers.getlist("Authorization")
        token = request.cookies.get(COOKIE)
        caller: Caller | None = None
        if authorization:
            bearer = _bearer(authorization)
            if bearer.startswith(SHARE_PREFIX):
                await self._by_share(bearer)
                return
            caller = await self._by_key(bearer)
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

    async def require_access(self) -> None:
        """Raise ForbiddenError if the route takes a session only and the request came with a key, or if it
        takes no share and the request came with the token of one.

        Call after the request has been charged to its rate limit.
        """
        access = self._access_of_request()
        if share_or_none() is not None and access != "shared":
            raise ForbiddenError(
                "the token of a share reads /v1/shares/current, and stats and stats/batch of its profile"
            )
        if access == "session":
            current_session()

    def _access_of_request(self) -> Access:
        """Return what the route demands.

        Under `/v1` a path without a route demands credentials too: otherwise a 404 would show strangers which
        paths exist.
        """
        default: Access = "key" if is_api_path(request.path) else "public"
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
            sent_token = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(sent_token.encode(errors="replace"), expected.encode()):
                raise ForbiddenError(f"send the header {CSRF_HEADER} with the session's csrf_token")
        g.session = CurrentSession(session_id, expires_at, expected)
        g.credential = token
        return caller

    async def _by_share(self, token: str) -> None:
        try:
            share = await self._shares.authenticate(token)
        except ExpiredError as error:
            raise Unauthorized(str(error)) from None
        if share is None:
            raise Unauthorized("this share is unknown or was revoked")
        g.share = share

    async def _by_key(self, key: str) -> Caller:
        try:
            caller = await self._keys.authenticate(key)
        except ExpiredError as error:
            raise Unauthorized(str(error)) from None
        if caller is None:
            raise Unauthorized("this key is unknown")
        g.credential = key
        return caller


def _bearer(headers: list[str]) -> str:
    """Return the credential of the `Authorization` headers. Raises Unauthorized."""
    key = bearer_key(headers[0]) if len(headers) == 1 else None
    if key is None:
        raise Unauthorized("send the header `Authorization: Bearer KEY`")
    return key
