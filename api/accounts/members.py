"""`/v1/profiles/{id}/members` and `…/transfer`: the members of a profile and their roles."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
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
from api.http.query import (
    PAGE,
    page_of_request,
    page_response,
    parsed_id,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from engine.accounts.access import MemberRole
from engine.accounts.member import Member, RoleDraft, validate_role
from engine.accounts.ports import MemberStore
from engine.common.drafts import StandIn
from engine.common.errors import FieldError


class MemberResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a profile's team."""

    user_id: Id
    email: str
    name: str
    role: MemberRole
    version: Version
    created_at: datetime
    updated_at: datetime


class TransferDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The member who becomes owner."""

    user_id: Annotated[str, StandIn("")]


class MemberRoutes:
    def __init__(self, store: MemberStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/profiles/<profile_id>/members", self.list_page, _LIST),
            Route("GET", "/v1/profiles/<profile_id>/members/<user_id>", self.read, _READ),
            Route("PATCH", "/v1/profiles/<profile_id>/members/<user_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/profiles/<profile_id>/members/<user_id>", self.remove, _REMOVE),
            Route("POST", "/v1/profiles/<profile_id>/transfer", self.transfer, _TRANSFER),
        ]

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_members(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, _member_response))

    async def read(self, profile_id: str, user_id: str) -> Response:
        refuse_parameters()
        member = await self._store.member(current_caller(), path_id(profile_id), path_id(user_id))
        return read_response(_member_response(member), member.version)

    async def update(self, profile_id: str, user_id: str) -> Response:
        refuse_parameters()
        member_ids = path_id(profile_id), path_id(user_id)
        body = await json_object()

        async def read() -> Member:
            return await self._store.member(current_caller(), *member_ids)

        def merged(stored: Member) -> MemberRole:
            draft = draft_of(RoleDraft, body, validate_role, {"role": stored.role})
            role: MemberRole = msgspec.convert(draft.role, MemberRole)
            return role

        async def write(if_version: int | None) -> Member:
            return await self._store.change_role(current_caller(), *member_ids, merged, if_version)

        member = await guarded_write(read, write)
        return json_response(_member_response(member), headers={"ETag": etag(member.version)})

    async def remove(self, profile_id: str, user_id: str) -> Response:
        refuse_parameters()
        member_ids = path_id(profile_id), path_id(user_id)

        async def read() -> Member:
            return await self._store.member(current_caller(), *member_ids)

        async def remove(if_version: int | None) -> None:
            await self._store.remove_member(current_caller(), *member_ids, if_version)

        await guarded_write(read, remove)
        return empty_response(204)

    async def transfer(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(TransferDraft, await json_object(), _validate_transfer, {})
        member = await self._store.transfer(current_caller(), id_, int(draft.user_id))
        return json_response(_member_response(member), headers={"ETag": etag(member.version)})


def _validate_transfer(draft: TransferDraft) -> tuple[TransferDraft | None, list[FieldError]]:
    if parsed_id(draft.user_id) is None:
        return None, [FieldError("user_id", "must be the id of a member")]
    return draft, []


def _member_response(member: Member) -> MemberResponse:
    return MemberResponse(
        user_id=str(member.user_id),
        email=member.email,
        name=member.name,
        role=member.role,
        version=member.version,
        created_at=utc(member.created_at),
        updated_at=utc(member.updated_at),
    )


_EXAMPLE: Final = {
    "user_id": "365072220160000021",
    "email": "grace@example.com",
    "name": "Grace Hopper",
    "role": "editor",
    "version": 1,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}
_PATHS: Final = {"user_id": "The id of a member's user."}
_LIST: Final = Doc(
    id="listMembers",
    summary="List a profile's members",
    tag="Teams",
    description="With their roles. Every member may read them.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of members.",
            ListResponse[MemberResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readMember",
    summary="Read a member",
    tag="Teams",
    description="With the role. Every member may read it.",
    responses={200: ResponseDoc("The member.", MemberResponse, _EXAMPLE)},
    tagged=True,
    paths=_PATHS,
)
_UPDATE: Final = Doc(
    id="updateMember",
    summary="Change a member's role",
    tag="Teams",
    description="Takes the role admin; only owners can make a member owner or change an owner's role.",
    body=changes_of(RoleDraft),
    body_example={"role": "admin"},
    responses={
        200: ResponseDoc(
            "The member.", MemberResponse, _EXAMPLE | {"role": "admin", "version": 2}, ("ETag",)
        )
    },
    errors=(409,),
    guarded=True,
    paths=_PATHS,
)
_REMOVE: Final = Doc(
    id="removeMember",
    summary="Remove a member, or leave",
    tag="Teams",
    description="Every member may leave, except the last owner. To remove another member takes the role admin.",
    responses={204: ResponseDoc("The member is removed.")},
    errors=(409,),
    guarded=True,
    paths=_PATHS,
)
_TRANSFER: Final = Doc(
    id="transferProfile",
    summary="Hand over a profile",
    tag="Teams",
    description="The named member becomes owner, the caller admin. Takes the role owner.",
    body=TransferDraft,
    body_example={"user_id": "365072220160000021"},
    responses={
        200: ResponseDoc(
            "The new owner.", MemberResponse, _EXAMPLE | {"role": "owner", "version": 2}, ("ETag",)
        )
    },
    errors=(409,),
)
