"""`/v1/profiles`: the profiles that the caller is a member of."""

from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    Url,
    Version,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import (
    PAGE,
    page_of,
    page_response,
    parameters,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, Parameter, ResponseDoc, Route, changes_of
from api.links.announce import announce
from engine.accounts.access import MemberRole
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import StoredResponse
from engine.links import name
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileChange, ProfileDraft, validate_draft
from engine.links.profile import draft_of as as_draft
from engine.visits.ports import Announcer


class ProfileResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as the API shows it; `url` is its page. `role` is the caller's, in lists."""

    id: Id
    handle: str
    title: str
    raw_retention_days: int
    url: Url
    version: Version
    created_at: datetime
    updated_at: datetime
    role: MemberRole | msgspec.UnsetType = msgspec.UNSET


class ProfileRoutes:
    def __init__(self, store: ProfileStore, announcer: Announcer, visitors_url: str) -> None:
        self._store = store
        self._announcer = announcer
        self._visitors_url = visitors_url

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles", self.create, _CREATE),
            Route("GET", "/v1/profiles", self.list_page, _LIST),
            Route("GET", "/v1/profiles/<profile_id>", self.read, _READ),
            Route("PATCH", "/v1/profiles/<profile_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/profiles/<profile_id>", self.delete, _DELETE),
        ]

    async def create(self) -> Response:
        refuse_parameters()
        draft = draft_of(ProfileDraft, await json_object(), validate_draft, {})
        idempotent_request = await idempotency_of_request(self._created)
        profile = await self._store.create_profile(current_caller(), draft, idempotent_request)
        await announce(self._announcer, [ProfileChange(profile.id, profile.version)])
        return response_of(self._created(profile))

    async def list_page(self) -> Response:
        query, errors = parameters("cursor", "limit", "handle")
        after, limit = page_of(query, errors)
        handle = query.get("handle")
        if handle is not None and not 1 <= len(handle) <= name.MAX_HANDLE_CHARS:
            errors.append(
                FieldError("handle", f"must have 1 to {name.MAX_HANDLE_CHARS} characters")
            )
        if handle is not None and "\0" in handle:
            errors.append(FieldError("handle", "must not contain control characters"))
        if errors:
            raise InvalidError(errors)
        lower = None if handle is None else handle.lower()
        items = await self._store.list_profiles(current_caller(), after, limit, lower)
        return json_response(page_response(items, self._response))

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        return read_response(self._response(profile), profile.version)

    async def update(self, profile_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(profile_id)
        body = await json_object()

        async def read() -> Profile:
            return await self._store.profile(current_caller(), id_)

        def merged(stored: Profile) -> ProfileDraft:
            base = msgspec.structs.asdict(as_draft(stored))
            return draft_of(ProfileDraft, body, validate_draft, base)

        async def write(if_version: int | None) -> Profile:
            return await self._store.update_profile(current_caller(), id_, merged, if_version)

        profile = await guarded_write(read, write)
        await announce(self._announcer, [ProfileChange(profile.id, profile.version)])
        return json_response(self._response(profile), headers={"ETag": etag(profile.version)})

    async def delete(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)

        async def read() -> Profile:
            return await self._store.profile(current_caller(), id_)

        async def delete(if_version: int | None) -> Profile:
            return await self._store.delete_profile(current_caller(), id_, if_version)

        profile = await guarded_write(read, delete)
        await announce(self._announcer, [ProfileChange(profile.id, profile.version, deleted=True)])
        return empty_response(204)

    def _created(self, profile: Profile) -> StoredResponse:
        headers = {"Location": f"/v1/profiles/{profile.id}", "ETag": etag(profile.version)}
        return replayable_response(self._response(profile), 201, headers)

    def _response(self, profile: Profile) -> ProfileResponse:
        return ProfileResponse(
            id=str(profile.id),
            handle=profile.handle,
            title=profile.title,
            raw_retention_days=profile.raw_retention_days,
            url=self._visitors_url + name.encode_path("@" + profile.handle).decode("ascii"),
            version=profile.version,
            created_at=utc(profile.created_at),
            updated_at=utc(profile.updated_at),
            role=profile.role or msgspec.UNSET,
        )


_EXAMPLE: Final = {
    "id": "365072220160000001",
    "handle": "ada",
    "title": "Ada Lovelace",
    "raw_retention_days": 90,
    "url": "https://go.example/@ada",
    "version": 1,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}
_RENAMED: Final = _EXAMPLE | {"title": "Ada", "version": 2, "updated_at": "2026-05-02T10:00:00Z"}

_CREATE: Final = Doc(
    id="createProfile",
    summary="Create a profile",
    tag="Profiles",
    description="The caller becomes its owner. Its page is at `/@handle` on the visitors' address.",
    body=ProfileDraft,
    body_example={"handle": "ada", "title": "Ada Lovelace"},
    responses={201: ResponseDoc("The profile.", ProfileResponse, _EXAMPLE, ("Location", "ETag"))},
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listProfiles",
    summary="List profiles",
    tag="Profiles",
    description="The profiles that the caller is a member of, oldest first.",
    query=(*PAGE, Parameter("handle", "Only the profile with this handle.", example="ada")),
    responses={
        200: ResponseDoc(
            "A page of profiles.",
            ListResponse[ProfileResponse],
            {"items": [_EXAMPLE | {"role": "owner"}], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readProfile",
    summary="Read a profile",
    tag="Profiles",
    description="Every member may read it.",
    responses={200: ResponseDoc("The profile.", ProfileResponse, _EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateProfile",
    summary="Change a profile",
    tag="Profiles",
    description="Fields that are left out stay as they are. Takes the role editor.",
    body=changes_of(ProfileDraft),
    body_example={"title": "Ada"},
    responses={200: ResponseDoc("The changed profile.", ProfileResponse, _RENAMED, ("ETag",))},
    errors=(409,),
    guarded=True,
)
_DELETE: Final = Doc(
    id="deleteProfile",
    summary="Delete a profile",
    tag="Profiles",
    description="Deletes all its links too; their counts stay. Takes the role owner.",
    responses={204: ResponseDoc("The profile is deleted.")},
    guarded=True,
)
