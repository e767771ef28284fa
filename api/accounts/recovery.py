"""`/v1/setup` and `/v1/password-resets`: the first account, and forgotten passwords.

A token goes in bodies and in the fragment of the dashboard's pages, never in a URL that a server sees, because
servers log URLs. Whoever asks for a reset learns nothing of who has an account: the answer is the same, and
takes equally long.
"""

from typing import Final

import msgspec
import trio
from quart import Response, g, request

from api.accounts.sessions import LoginFlow, LoginResponse, login_response
from api.http.auth import request_id
from api.http.bodies import draft_of, empty_response, json_object, json_response
from api.http.query import refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.accounts.account import clean_user_agent
from engine.accounts.ports import RecoveryStore
from engine.accounts.recovery import (
    ResetDraft,
    ResetRequestDraft,
    SetupDraft,
    validate_reset,
    validate_reset_request,
    validate_setup,
)
from engine.common.errors import ConflictError

# Longer than the transaction that enqueues a mail takes, which only an existing account has.
ANSWER_S: Final = 0.2


class SetupResponse(msgspec.Struct, frozen=True, kw_only=True):
    """State of the engine: whether the first account waits for its set-up, and whether mail is sent."""

    needed: bool
    mail: bool


class RecoveryRoutes:
    """Routes of set-up and password resets. `mail`: whether the engine sends mail."""

    def __init__(self, store: RecoveryStore, login_flow: LoginFlow, *, mail: bool) -> None:
        self._store = store
        self._login_flow = login_flow
        self._mail = mail

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/setup", self.read_setup, _READ, "public"),
            Route(
                "POST", "/v1/setup", self.set_up, _SET_UP, "public",
                {200: "password.changed", 404: "login.failed", 429: "login.throttled"},
            ),
            Route(
                "POST", "/v1/password-resets", self.request_reset, _REQUEST, "public",
                {429: "login.throttled"},
            ),
            Route(
                "POST", "/v1/password-resets/use", self.reset, _RESET, "public",
                {204: "password.changed", 404: "login.failed", 429: "login.throttled"},
            ),
        ]  # fmt: skip

    async def read_setup(self) -> Response:
        refuse_parameters()
        return json_response(
            SetupResponse(needed=await self._store.setup_needed(), mail=self._mail)
        )

    async def set_up(self) -> Response:
        refuse_parameters()
        draft = draft_of(SetupDraft, await json_object(), validate_setup, {})
        await self._login_flow.admit("")
        user_agent = clean_user_agent(request.headers.get("User-Agent", ""))
        login = await self._store.set_up(draft, user_agent, request_id())
        g.caller = Caller(login.user.tenant_id, login.user.id)  # for the security log
        return self._login_flow.set_cookie(json_response(login_response(login)), login)

    async def request_reset(self) -> Response:
        refuse_parameters()
        draft = draft_of(ResetRequestDraft, await json_object(), validate_reset_request, {})
        if not self._mail:
            raise ConflictError("mail", "must be set up by the operator: this engine sends no mail")
        answer_at = trio.current_time() + ANSWER_S
        await self._login_flow.admit_reset(draft.email)
        await self._store.request_reset(draft.email)
        await trio.sleep_until(answer_at)
        return empty_response(202)

    async def reset(self) -> Response:
        refuse_parameters()
        draft = draft_of(ResetDraft, await json_object(), validate_reset, {})
        await self._login_flow.admit("")
        g.caller = await self._store.reset(draft.token, draft.password, request_id())
        return empty_response(204)


_TAG: Final = "Sessions"
_ONCE: Final = "wpo_Zk3v8QmW1"
_PASSWORD: Final = "a long sentence is best"  # noqa: S105  # an example
_READ: Final = Doc(
    id="readSetup",
    summary="Read whether the engine is set up",
    tag=_TAG,
    description="`needed` until the first account has a person's address; `mail`: whether mail is sent.",
    responses={200: ResponseDoc("The state.", SetupResponse, {"needed": True, "mail": False})},
)
_SET_UP: Final = Doc(
    id="setUp",
    summary="Set up the first account",
    tag=_TAG,
    description="Takes the code that the engine printed when it started: it works once, for an hour. Gives the "
    "first account a name, an address and a password, ends its sessions and logs it in. The API key in "
    "owner.json still works; the password there does not.",
    body=SetupDraft,
    body_example={
        "code": _ONCE,
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "password": _PASSWORD,
    },
    responses={
        200: ResponseDoc(
            "The account is set up, and logged in.",
            LoginResponse,
            {
                "user": {
                    "id": "365072220160000020",
                    "email": "ada@example.com",
                    "name": "Ada Lovelace",
                    "version": 2,
                    "created_at": "2026-05-01T09:30:00Z",
                    "updated_at": "2026-05-01T09:40:00Z",
                },
                "csrf_token": "q2mJ…",
                "expires_at": "2026-05-15T09:40:00Z",
            },
            ("Set-Cookie",),
        )
    },
    errors=(404, 409),
)
_REQUEST: Final = Doc(
    id="requestPasswordReset",
    summary="Ask for a mail that resets a password",
    tag=_TAG,
    description="Always 202, whether the address has an account or not; 409 if the engine sends no mail.",
    body=ResetRequestDraft,
    body_example={"email": "ada@example.com"},
    responses={202: ResponseDoc("If the address has an account, a mail is on its way.")},
    errors=(409,),
)
_RESET: Final = Doc(
    id="resetPassword",
    summary="Set a password by the token of a mail",
    tag=_TAG,
    description="The token works once, for an hour. Ends every session of the account. API keys still work.",
    body=ResetDraft,
    body_example={"token": _ONCE, "password": _PASSWORD},
    responses={204: ResponseDoc("The password is set: log in with it.")},
    errors=(404,),
)
