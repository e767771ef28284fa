"""`/v1/profiles/{id}/invitations` and `/v1/invitations/…`: invitations to a profile's team.

A token is never part of a URL that a server sees, because servers log URLs: it goes in bodies, and in the
fragment of the page on which the invited person accepts.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from quart import Response, request
from werkzeug.exceptions import Unauthorized

from api.accounts.sessions import ATTEMPTS, LoginFlow, UserResponse, login_response
from api.http.auth import caller_or_none, current_caller, request_id
from api.http.bodies import (
    Id,
    ListResponse,
    Url,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.idempotency import (
    idempotency_of_request,
    idempotency_with_secret,
    response_of,
)
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.account import clean_user_agent
from engine.accounts.member import (
    AcceptDraft,
    Invitation,
    InvitationDraft,
    JoinResult,
    validate_accept,
    validate_invitation,
)
from engine.accounts.ports import InvitationStore
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import StoredResponse


class InvitationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation. `token` and `url` are only in the response that creates it."""

    id: Id
    profile_id: Id
    email: str
    role: str
    invited_by: Id
    created_at: datetime
    expires_at: datetime
    token: str | msgspec.UnsetType = msgspec.UNSET
    url: Url | msgspec.UnsetType = msgspec.UNSET


class InvitedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The profile and role that an invitation offers. `inviter`: the name, or else the address, of the member
    who made it; empty if they have left."""

    profile_id: Id
    handle: str
    title: str
    email: str
    role: str
    inviter: str
    expires_at: datetime


class JoinedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's new membership. `user`, `csrf_token` and `expires_at` are there if accepting made an account
    and logged it in."""

    profile_id: Id
    role: str
    user: UserResponse | msgspec.UnsetType = msgspec.UNSET
    csrf_token: str | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType = msgspec.UNSET


class TokenDraft(msgspec.Struct, frozen=True, kw_only=True):
    token: Annotated[str, StandIn("")]


class InvitationRoutes:
    def __init__(self, store: InvitationStore, login_flow: LoginFlow, console_url: str) -> None:
        self._store = store
        self._login_flow = login_flow
        self._console_url = console_url.rstrip("/")

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/invitations", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/invitations", self.list_page, _LIST),
            Route(
                "DELETE",
                "/v1/profiles/<profile_id>/invitations/<invitation_id>",
                self.withdraw,
                _WITHDRAW,
            ),
            Route(
                "POST",
                "/v1/invitations/preview",
                self.preview,
                _PREVIEW,
                "public",
                {429: "login.throttled"},
            ),
            Route("POST", "/v1/invitations/accept", self.accept, _ACCEPT, "optional", ATTEMPTS),
        ]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(InvitationDraft, await json_object(), validate_invitation, {})
        idempotent_request = await idempotency_with_secret(
            self._created, lambda new: new[0].profile_id
        )
        new = await self._store.invite(current_caller(), id_, draft, idempotent_request)
        return response_of(self._created(new))

    def _created(self, new: tuple[Invitation, str]) -> StoredResponse:
        invitation, token = new
        response = msgspec.structs.replace(
            _invitation_response(invitation), token=token, url=f"{self._console_url}/join#{token}"
        )
        path = f"/v1/profiles/{invitation.profile_id}/invitations/{invitation.id}"
        return replayable_response(response, 201, {"Location": path})

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_invitations(
            current_caller(), path_id(profile_id), after, limit
        )
        return json_response(page_response(items, _invitation_response))

    async def withdraw(self, profile_id: str, invitation_id: str) -> Response:
        refuse_parameters()
        await self._store.withdraw(current_caller(), path_id(profile_id), path_id(invitation_id))
        return empty_response(204)

    async def preview(self) -> Response:
        refuse_parameters()
        draft = draft_of(TokenDraft, await json_object(), _unchecked, {})
        invited = await self._store.preview(draft.token)
        return json_response(
            InvitedResponse(
                profile_id=str(invited.profile_id),
                handle=invited.handle,
                title=invited.title,
                email=invited.email,
                role=invited.role,
                inviter=invited.inviter,
                expires_at=utc(invited.expires_at),
            )
        )

    async def accept(self) -> Response:
        refuse_parameters()
        draft = draft_of(AcceptDraft, await json_object(), validate_accept, {})
        caller = caller_or_none()
        if caller is None:
            return await self._accept_as_new(draft)
        if draft.password is not None:
            raise InvalidError([FieldError("password", "must be left out: you are logged in")])
        idempotent_request = await idempotency_of_request(_joined)
        return response_of(
            _joined(await self._store.accept(caller, draft.token, idempotent_request))
        )

    async def _accept_as_new(self, draft: AcceptDraft) -> Response:
        if draft.password is None:
            raise Unauthorized("log in, or send a password to make an account")
        await self._login_flow.admit("")
        user_agent = clean_user_agent(request.headers.get("User-Agent", ""))
        idempotent_request = await idempotency_with_secret(
            self._joined_as_new, lambda joined: joined.profile_id, draft.token
        )
        joined = await self._store.accept_as_new(
            draft.token, draft.password, draft.name, user_agent, request_id(), idempotent_request
        )
        return response_of(self._joined_as_new(joined))

    def _joined_as_new(self, joined: JoinResult) -> StoredResponse:
        assert joined.login is not None
        path = f"/v1/profiles/{joined.profile_id}/members/{joined.login.user.id}"
        response = replayable_response(_joined_response(joined), 201, {"Location": path})
        with_cookie = self._login_flow.set_cookie(response_of(response), joined.login)
        return msgspec.structs.replace(response, headers=dict(with_cookie.headers))


def _unchecked(draft: TokenDraft) -> tuple[TokenDraft | None, list[FieldError]]:
    # The store finds out whether there is such a token.
    return draft, []


def _invitation_response(invitation: Invitation) -> InvitationResponse:
    return InvitationResponse(
        id=str(invitation.id),
        profile_id=str(invitation.profile_id),
        email=invitation.email,
        role=invitation.role,
        invited_by=str(invitation.invited_by),
        created_at=utc(invitation.created_at),
        expires_at=utc(invitation.expires_at),
    )


def _joined(joined: JoinResult) -> StoredResponse:
    return replayable_response(_joined_response(joined), 200, {})


def _joined_response(joined: JoinResult) -> JoinedResponse:
    response = JoinedResponse(profile_id=str(joined.profile_id), role=joined.role)
    if joined.login is None:
        return response
    login = login_response(joined.login)
    return msgspec.structs.replace(
        response, user=login.user, csrf_token=login.csrf_token, expires_at=login.expires_at
    )


_EXAMPLE: Final = {
    "id": "365072220160000031",
    "profile_id": "365072220160000001",
    "email": "grace@example.com",
    "role": "editor",
    "invited_by": "365072220160000020",
    "created_at": "2026-05-01T09:30:00Z",
    "expires_at": "2026-05-08T09:30:00Z",
}
_ONCE_SHOWN: Final = "wpi_Zk3v8QmW1"
_JOINED: Final = {"profile_id": "365072220160000001", "role": "editor"}
_CREATE: Final = Doc(
    id="createInvitation",
    summary="Invite a person to a profile",
    tag="Teams",
    description="Send them `url`: it is in this response only. Takes the role admin.",
    body=InvitationDraft,
    body_example={"email": "grace@example.com", "role": "editor", "expires_in_days": 7},
    responses={
        201: ResponseDoc(
            "The invitation.",
            InvitationResponse,
            _EXAMPLE | {"token": _ONCE_SHOWN, "url": f"https://console.example/join#{_ONCE_SHOWN}"},
            ("Location",),
        )
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listInvitations",
    summary="List a profile's open invitations",
    tag="Teams",
    description="Takes the role admin.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of invitations.",
            ListResponse[InvitationResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_WITHDRAW: Final = Doc(
    id="withdrawInvitation",
    summary="Withdraw an invitation",
    tag="Teams",
    description="Takes the role admin.",
    responses={204: ResponseDoc("The invitation cannot be accepted any more.")},
)
_PREVIEW: Final = Doc(
    id="previewInvitation",
    summary="See what an invitation offers",
    tag="Teams",
    description="Takes no credentials but the token: 404 if there is none, 409 if it was used or has expired.",
    body=TokenDraft,
    body_example={"token": _ONCE_SHOWN},
    responses={
        200: ResponseDoc(
            "The invitation.",
            InvitedResponse,
            {
                "profile_id": "365072220160000001",
                "handle": "ada",
                "title": "Ada Lovelace",
                "email": "grace@example.com",
                "role": "editor",
                "inviter": "Ada Lovelace",
                "expires_at": "2026-05-08T09:30:00Z",
            },
        )
    },
    errors=(404, 409),
)
_ACCEPT: Final = Doc(
    id="acceptInvitation",
    summary="Join a profile by an invitation",
    tag="Teams",
    description="With credentials the caller joins. Without credentials and with a `password`, the call makes "
    "an account for the invited email, which joins and is logged in.",
    body=AcceptDraft,
    body_example={
        "token": _ONCE_SHOWN,
        "password": "a long sentence is best",
        "name": "Grace Hopper",
    },
    responses={
        200: ResponseDoc("The caller is a member.", JoinedResponse, _JOINED),
        201: ResponseDoc(
            "A new account is a member and logged in.",
            JoinedResponse,
            _JOINED,
            ("Location", "Set-Cookie"),
        ),
    },
    errors=(401, 404, 409),
    idempotent=True,
)
