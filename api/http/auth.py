"""Who asks: `Authorization: Bearer KEY` names a user, their tenant and the key's scopes; the cookie of a
session names a user, for all scopes. A request with both is the key's.

- A key that was good is taken as good for `CACHE_S` more, without asking the store: so long does a
  key live on that another process has revoked. In the process that revokes it, it ends at once. Only
  SHA-256 sums of keys are held. What is no good is asked for each time, as sessions are.
- A browser sends the cookie whoever makes it ask, so whatever changes something by it must also
  name the session's CSRF token, which other sites cannot read.
"""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

import trio
from quart import Response, g, request
from werkzeug.exceptions import Unauthorized

from api.http.problems import REQUEST_ID
from engine.accounts.access import Caller
from engine.accounts.ports import ApiKeyStore, SessionStore
from engine.common.errors import ExpiredError, ForbiddenError

CACHE_S: Final = 5.0
CACHE_KEYS: Final = 1024
COOKIE: Final = "waypost_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_BEARER: Final = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE | re.ASCII)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What can be asked without being somebody: by nobody in particular, and by nobody yet.
_EVERYBODY: Final = frozenset({("POST", "/v1/session"), ("POST", "/v1/invitations/preview")})
_PERHAPS: Final = frozenset({("POST", "/v1/invitations/accept")})


class CurrentSession(NamedTuple):
    """The session of the request being handled."""

    id: int
    expires_at: datetime
    csrf_token: str


def current_caller() -> Caller:
    """Who sent the request being handled."""
    found: Caller = g.caller
    return found


def caller_or_none() -> Caller | None:
    """The same for a route that does not take credentials."""
    found: Caller | None = g.get("caller")
    return found


def session_or_none() -> CurrentSession | None:
    """The session of the request being handled; None for a key."""
    found: CurrentSession | None = g.get("session")
    return found


def current_session() -> CurrentSession:
    """Raises ForbiddenError for a request by a key."""
    found = session_or_none()
    if found is None:
        raise ForbiddenError("this takes a session, not a key")
    return found


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
    """Judges requests by their key or cookie. `note` is told of each that is good, with its
    session's id or 0."""

    def __init__(
        self, keys: ApiKeyStore, sessions: SessionStore, note: Callable[[Caller, int], None]
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._note = note
        self._good: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._revoked = 0

    async def check(self) -> None:
        """Before a request under `/v1`: find its caller, or raise Unauthorized or ForbiddenError."""
        if not (request.path == "/v1" or request.path.startswith("/v1/")):
            return
        route = (request.method, request.path)
        if route in _EVERYBODY:
            return
        headers = request.headers.getlist("Authorization")
        token = request.cookies.get(COOKIE)
        if headers:
            found: Caller | None = await self._by_key(headers)
        elif token:
            by_cookie = await self._by_cookie(token)
            if by_cookie is None and route not in _PERHAPS:
                raise Unauthorized("this session has ended; log in again")
            found = by_cookie
        elif route in _PERHAPS:
            found = None
        else:
            raise Unauthorized("send the header `Authorization: Bearer KEY`, or log in")
        if found is not None:
            now = session_or_none()
            self._note(found, now.id if now else 0)
            g.caller = found._replace(request_id=request_id())

    def forget(self, key_id: int) -> None:
        """The key has just been revoked."""
        self._revoked += 1
        for digest, (known, _) in list(self._good.items()):
            if known.key_id == key_id:
                del self._good[digest]

    async def _by_cookie(self, token: str) -> Caller | None:
        found = await self._sessions.find(token)
        if found is None:
            return None
        known, session_id, expires_at = found
        expected = csrf_token(token)
        if request.method not in _SAFE:
            named = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(named.encode(errors="replace"), expected.encode()):
                raise ForbiddenError(f"send the header {CSRF_HEADER} with the session's csrf_token")
        g.session = CurrentSession(session_id, expires_at, expected)
        return known

    async def _by_key(self, headers: list[str]) -> Caller:
        match = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
        if match is None:
            raise Unauthorized("send the header `Authorization: Bearer KEY`")
        try:
            found = await self._find(match[1])
        except ExpiredError as error:
            raise Unauthorized(str(error)) from None
        if found is None:
            raise Unauthorized("this key is unknown")
        return found

    async def _find(self, text: str) -> Caller | None:
        digest = hashlib.sha256(text.encode("ascii")).digest()
        cached = self._good.get(digest)
        if cached is not None and trio.current_time() < cached[1]:
            return cached[0]
        asked_at, revoked = trio.current_time(), self._revoked
        key = await self._keys.authenticate(text)
        self._good.pop(digest, None)
        # An answer from before a revocation may be about the key that was revoked meanwhile.
        if key is not None and revoked == self._revoked:
            self._good[digest] = (key, asked_at + CACHE_S)
            if len(self._good) > CACHE_KEYS:
                self._good.popitem(last=False)
        return key
