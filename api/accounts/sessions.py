"""`/v1/session`, `/v1/sessions` and `/v1/user`: logging in and out, and the caller's own account."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from quart import Response, g, request
from werkzeug.exceptions import Unauthorized

from api.http import client_address
from api.http.auth import (
    CurrentSession,
    csrf_token,
    current_caller,
    current_session,
    session_or_none,
    set_cookie,
)
from api.http.bodies import (
    Id,
    ListResponse,
    Version,
    draft_of,
    empty_response,
    json_object,
    json_response,
    utc,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import NOBODY, idempotency_key
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from engine.accounts.access import Caller, Scope, require_scope
from engine.accounts.account import (
    LoginDraft,
    NewSession,
    PasswordDraft,
    Session,
    User,
    UserDraft,
    clean_user_agent,
    validate_login,
    validate_password,
    validate_user,
)
from engine.accounts.ports import AccountStore, LoginThrottle, SessionStore
from engine.audit.security_event import SecurityEventKind
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest, StoredResponse, request_sha256
from engine.operations.settings import Settings

# The security events of password attempts and of ended sessions, by the status of the response.
ATTEMPTS: Final[Mapping[int, SecurityEventKind]] = {401: "login.failed", 429: "login.throttled"}
_ENDED: Final[Mapping[int, SecurityEventKind]] = {204: "session.revoked"}


class UserResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's own account."""

    id: Id
    email: str
    name: str
    version: Version
    created_at: datetime
    updated_at: datetime


class LoginResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A new session; its token is in the cookie. Every change by the cookie must send `csrf_token`."""

    user: UserResponse
    csrf_token: str
    expires_at: datetime


class WhoAmIResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The caller and their scopes. `session_id`, `csrf_token` and `expires_at` are null for an API key;
    `is_operator` says whether the caller is a user of the first tenant."""

    user: UserResponse
    scopes: tuple[Scope, ...]
    is_operator: bool
    session_id: Id | None
    csrf_token: str | None
    expires_at: datetime | None


class SessionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A session of the caller; `current` marks the session of this request."""

    id: Id
    user_agent: str
    current: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class LoginFlow:
    """Login throttle and session cookie, shared by the routes that take a password."""

    def __init__(self, throttle: LoginThrottle, settings: Settings) -> None:
        self._throttle = throttle
        self._trusted_hops = settings.trusted_hops
        self._secure = settings.console_url.lower().startswith("https://")

    async def admit(self, email: str) -> None:
        """Charge one password attempt; without `email`, to the client address only. Raises TooSoonError."""
        await self._throttle.admit(email, client_address.address(self._trusted_hops))

    async def admit_reset(self, email: str) -> None:
        """Charge one request for a reset's mail. Raises TooSoonError."""
        await self._throttle.admit_reset(email, client_address.address(self._trusted_hops))

    def set_cookie(self, response: Response, login: NewSession) -> Response:
        """Return the response with the cookie of the new session."""
        lifetime = login.session.expires_at - login.session.created_at
        set_cookie(response, login.token, int(lifetime.total_seconds()), secure=self._secure)
        return response

    def clear_cookie(self, response: Response) -> Response:
        """Return the response with a header that deletes the cookie."""
        set_cookie(response, "", 0, secure=self._secure)
        return response


class SessionRoutes:
    """Routes of sessions and the caller's account. `is_operator` returns whether a caller is an operator."""

    def __init__(
        self,
        accounts: AccountStore,
        sessions: SessionStore,
        login_flow: LoginFlow,
        is_operator: Callable[[Caller], Awaitable[bool]],
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._login_flow = login_flow
        self._is_operator = is_operator

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/session",
                self.login,
                _LOGIN,
                "public",
                {201: "login.succeeded", **ATTEMPTS},
            ),
            Route("GET", "/v1/session", self.read_session, _READ_SESSION),
            Route("DELETE", "/v1/session", self.logout, _LOGOUT, "session", _ENDED),
            Route("GET", "/v1/sessions", self.list_page, _LIST, "session"),
            Route("DELETE", "/v1/sessions/<session_id>", self.revoke, _END, "session", _ENDED),
            Route("GET", "/v1/user", self.read, _READ),
            Route("PATCH", "/v1/user", self.update, _UPDATE),
            Route(
                "POST",
                "/v1/user/password",
                self.change_password,
                _PASSWORD,
                "session",
                {204: "password.changed", **ATTEMPTS},
            ),
        ]

    async def login(self) -> Response:
        refuse_parameters()
        draft = draft_of(LoginDraft, await json_object(), validate_login, {})
        await self._login_flow.admit(draft.email)
        user_agent = clean_user_agent(request.headers.get("User-Agent", ""))
        login = await self._accounts.login(
            draft.email, draft.password, user_agent, _idempotency_of_login(draft.email)
        )
        if login is None:
            raise Unauthorized("the email or the password is wrong")
        g.caller = Caller(login.user.tenant_id, login.user.id)  # for the security log
        return self._login_flow.set_cookie(json_response(login_response(login), 201), login)

    async def read_session(self) -> Response:
        refuse_parameters()
        session = session_or_none()
        return json_response(
            WhoAmIResponse(
                user=user_response(await self._accounts.user(current_caller())),
                scopes=current_caller().scopes,
                is_operator=await self._is_operator(current_caller()),
                session_id=None if session is None else str(session.id),
                csrf_token=None if session is None else session.csrf_token,
                expires_at=None if session is None else utc(session.expires_at),
            )
        )

    async def logout(self) -> Response:
        refuse_parameters()
        session = current_session()
        with suppress(NotFoundError):  # another session of the user has just ended this one
            await self._sessions.end_session(current_caller(), session.id)
        return self._login_flow.clear_cookie(empty_response(204))

    async def list_page(self) -> Response:
        after, limit = page_of_request()
        current = current_session()
        items = await self._sessions.list_sessions(current_caller(), after, limit)

        def response(session: Session) -> SessionResponse:
            return _session_response(session, current)

        return json_response(page_response(items, response))

    async def revoke(self, session_id: str) -> Response:
        refuse_parameters()
        await self._sessions.end_session(current_caller(), path_id(session_id))
        return empty_response(204)

    async def read(self) -> Response:
        refuse_parameters()
        require_scope(current_caller(), "read")
        user = await self._accounts.user(current_caller())
        return read_response(user_response(user), user.version)

    async def update(self) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        require_scope(current_caller(), "admin")
        body = await json_object()

        async def read() -> User:
            return await self._accounts.user(current_caller())

        def merged(stored: User) -> UserDraft:
            return draft_of(UserDraft, body, validate_user, {"name": stored.name})

        async def write(if_version: int | None) -> User:
            return await self._accounts.update_user(current_caller(), merged, if_version)

        user = await guarded_write(read, write)
        return json_response(user_response(user), headers={"ETag": etag(user.version)})

    async def change_password(self) -> Response:
        """Change the password and end every other session of the user. API keys still work."""
        refuse_parameters()
        session = current_session()
        draft = draft_of(PasswordDraft, await json_object(), validate_password, {})
        user = await self._accounts.user(current_caller())
        await self._login_flow.admit(user.email)
        if not await self._accounts.change_password(
            current_caller(), draft.current, draft.new, session.id
        ):
            raise Unauthorized("the current password is wrong")
        return empty_response(204)


def _idempotency_of_login(email: str) -> IdempotentRequest[NewSession] | None:
    """Return the idempotency of a login, whose response is not kept.

    What it holds is a secret, and a password is too weak to seal it. For the same reason the password is not
    in the hash of the request: each attempt is checked all the same.
    """
    key = idempotency_key()
    if key is None:
        return None

    def created(login: NewSession) -> StoredResponse:
        return StoredResponse(201, {"Location": f"/v1/sessions/{login.session.id}"}, b"")

    digest = request_sha256(request.method, request.path, email.lower().encode(), NOBODY)
    return IdempotentRequest(key=key, request_sha256=digest, respond=created, holds_secret=True)


def user_response(user: User) -> UserResponse:
    return UserResponse(
        id=str(user.id),
        email=user.email,
        name=user.name,
        version=user.version,
        created_at=utc(user.created_at),
        updated_at=utc(user.updated_at),
    )


def login_response(login: NewSession) -> LoginResponse:
    return LoginResponse(
        user=user_response(login.user),
        csrf_token=csrf_token(login.token),
        expires_at=utc(login.session.expires_at),
    )


def _session_response(session: Session, current: CurrentSession) -> SessionResponse:
    return SessionResponse(
        id=str(session.id),
        user_agent=session.user_agent,
        current=session.id == current.id,
        created_at=utc(session.created_at),
        last_used_at=utc(session.last_used_at),
        expires_at=utc(session.expires_at),
    )


_USER: Final = {
    "id": "365072220160000020",
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "version": 1,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}
_LOGGED_IN: Final = {
    "user": _USER,
    "csrf_token": "q2mJ…",
    "expires_at": "2026-05-15T09:30:00Z",
}
_SESSION: Final = {
    "id": "365072220160000041",
    "user_agent": "Firefox on Linux",
    "current": True,
    "created_at": "2026-05-01T09:30:00Z",
    "last_used_at": "2026-05-01T10:00:00Z",
    "expires_at": "2026-05-15T09:30:00Z",
}
_LOGIN: Final = Doc(
    id="logIn",
    summary="Log in",
    tag="Sessions",
    description="The session's token is in a cookie. Every change by the cookie must send `csrf_token` in the "
    "header `X-CSRF-Token`. With an `Idempotency-Key`, the same login again gets 409 with the session's path: "
    "Waypost does not keep its response.",
    body=LoginDraft,
    body_example={"email": "ada@example.com", "password": "…"},
    responses={201: ResponseDoc("The session.", LoginResponse, _LOGGED_IN, ("Set-Cookie",))},
    errors=(401, 409),
    idempotent=True,
)
_READ_SESSION: Final = Doc(
    id="readSession",
    summary="Read the caller and their scopes",
    tag="Sessions",
    description="With an API key, `session_id`, `csrf_token` and `expires_at` are null.",
    responses={
        200: ResponseDoc(
            "The caller.",
            WhoAmIResponse,
            _LOGGED_IN
            | {
                "scopes": ["read", "write", "admin"],
                "is_operator": False,
                "session_id": "365072220160000041",
            },
        )
    },
)
_LOGOUT: Final = Doc(
    id="logOut",
    summary="Log out",
    tag="Sessions",
    description="Ends the session of this request and deletes its cookie.",
    responses={204: ResponseDoc("The session has ended.", headers=("Set-Cookie",))},
)
_LIST: Final = Doc(
    id="listSessions",
    summary="List the caller's sessions",
    tag="Sessions",
    description="Oldest first; `current` marks the session of this request.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of sessions.",
            ListResponse[SessionResponse],
            {"items": [_SESSION], "next_cursor": None},
        )
    },
)
_END: Final = Doc(
    id="endSession",
    summary="End a session",
    tag="Sessions",
    description="The cookie of that session stops working at once.",
    responses={204: ResponseDoc("The session has ended.")},
)
_READ: Final = Doc(
    id="readUser",
    summary="Read the caller's account",
    tag="Sessions",
    description="Takes the scope read.",
    responses={200: ResponseDoc("The account.", UserResponse, _USER)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateUser",
    summary="Change the caller's account",
    tag="Sessions",
    description="Fields that are left out stay as they are. Takes the scope admin.",
    body=changes_of(UserDraft),
    body_example={"name": "Ada"},
    responses={200: ResponseDoc("The account.", UserResponse, _USER | {"name": "Ada"}, ("ETag",))},
    guarded=True,
)
_PASSWORD: Final = Doc(
    id="changePassword",
    summary="Change the caller's password",
    tag="Sessions",
    description="Ends every other session of the caller. API keys still work.",
    body=PasswordDraft,
    body_example={"current": "…", "new": "a long sentence is best"},
    responses={204: ResponseDoc("The password is changed.")},
)
