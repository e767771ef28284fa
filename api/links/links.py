"""`/v1/profiles/{id}/links` and `/v1/links/{id}`: the links of a profile."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    empty_response,
    json_object,
    json_response,
    replayable_response,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import parameters, path_id, refuse_parameters
from api.http.routes import Doc, Parameter, ResponseDoc, Route, changes_of
from api.links import included_clicks
from api.links.announce import announce
from api.links.default_profile import default_profile
from api.links.link_drafts import LinkDrafts
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses, tag_suffix
from engine.common.errors import FieldError, InvalidError
from engine.common.idempotency import StoredResponse
from engine.links.link import Link, LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileChange
from engine.visits.ports import Announcer


class LinkRoutes:
    """Routes of links."""

    def __init__(
        self,
        store: ProfileStore,
        announcer: Announcer,
        visitors_url: str,
        drafts: LinkDrafts,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._responses = LinkResponses(visitors_url, drafts.policy)
        self._drafts = drafts
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/links", self.create, _CREATE),
            Route("POST", "/v1/links", self.create_in_default, _CREATE_IN_DEFAULT),
            Route("GET", "/v1/links/<link_id>", self.read, _READ),
            Route("PATCH", "/v1/links/<link_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/links/<link_id>", self.delete, _DELETE),
        ]

    async def create(self, profile_id: str) -> Response:
        if_exists = _if_exists()
        id_ = path_id(profile_id)
        body = await json_object()
        profile = await self._store.profile(current_caller(), id_)
        draft = self._drafts.draft(await self._drafts.with_hash(body))
        return await self._create(profile, draft, if_exists)

    async def create_in_default(self) -> Response:
        """Create a link for a caller who names no profile."""
        if_exists = _if_exists()
        draft = self._drafts.draft(await self._drafts.with_hash(await json_object()))
        profile = await default_profile(self._store, self._announcer, current_caller())
        return await self._create(profile, draft, if_exists)

    async def _create(self, profile: Profile, draft: LinkDraft, if_exists: str) -> Response:
        if if_exists == "return":
            existing = await self._store.similar_link(current_caller(), profile.id, draft)
            if existing is not None:
                response = self._responses.response(profile.handle, existing)
                return json_response(response, headers={"ETag": etag(existing.version)})

        def created(link_and_change: tuple[Link, ProfileChange]) -> StoredResponse:
            link, _ = link_and_change
            headers = {"Location": f"/v1/links/{link.id}", "ETag": etag(link.version)}
            return replayable_response(
                self._responses.response_with_warnings(profile.handle, link), 201, headers
            )

        idempotent_request = await idempotency_of_request(created)
        link, change = await self._store.create_link(
            current_caller(), profile.id, draft, idempotent_request
        )
        await announce(self._announcer, [change])
        return response_of(created((link, change)))

    async def read(self, link_id: str) -> Response:
        given, errors = parameters(*included_clicks.NAMES)
        included = included_clicks.included_clicks(given, errors, self._now())
        if errors:
            raise InvalidError(errors)
        link = await self._store.link(current_caller(), path_id(link_id), included.period)
        profile = await self._store.profile(current_caller(), link.profile_id)
        response = included.add_to(self._responses.response(profile.handle, link), link)
        return read_response(response, link.version, tag_suffix(link) + included.tag_suffix(link))

    async def update(self, link_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(link_id)
        fields = await self._drafts.with_hash(await json_object())

        async def read() -> Link:
            return await self._store.link(current_caller(), id_)

        def merged(stored: Link) -> LinkDraft:
            return self._drafts.draft(fields, stored)

        async def write(if_version: int | None) -> tuple[Link, ProfileChange]:
            return await self._store.update_link(current_caller(), id_, merged, if_version)

        link, change = await guarded_write(read, write)
        await announce(self._announcer, [change])
        profile = await self._store.profile(current_caller(), link.profile_id)
        response = self._responses.response_with_warnings(profile.handle, link)
        return json_response(response, headers={"ETag": etag(link.version)})

    async def delete(self, link_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(link_id)

        async def read() -> Link:
            return await self._store.link(current_caller(), id_)

        async def delete(if_version: int | None) -> ProfileChange:
            return await self._store.delete_link(current_caller(), id_, if_version)

        change = await guarded_write(read, delete)
        await announce(self._announcer, [change])
        return empty_response(204)


def _if_exists() -> str:
    """Return the parameter `if_exists`, "refuse" if it is left out. Raises InvalidError."""
    given, errors = parameters("if_exists")
    if given.get("if_exists", "refuse") not in _IF_EXISTS:
        errors.append(FieldError("if_exists", f"must be one of {', '.join(_IF_EXISTS)}"))
    if errors:
        raise InvalidError(errors)
    return given.get("if_exists", "refuse")


_IF_EXISTS: Final = ("refuse", "return")

_CREATE: Final = Doc(
    id="createLink",
    summary="Create a link",
    tag="Links",
    description="Visitors reach it at `/handle/slug`, and at `/slug` if the link claims that. Without a slug "
    "it gets a free one. Takes the role editor.",
    query=(
        Parameter(
            "if_exists",
            "`refuse`: a slug that is taken is a 409. `return`: the link that has the slug, or without a slug "
            "the oldest link to the same target, is returned with status 200.",
            Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(_IF_EXISTS)})],
            "return",
        ),
    ),
    body=LinkDraft,
    body_example={
        "slug": "spring",
        "target": "https://example.com/spring",
        "title": "Spring collection",
    },
    responses={
        200: ResponseDoc("The link that existed.", LinkResponse, EXAMPLE, ("ETag",)),
        201: ResponseDoc("The link.", LinkResponse, EXAMPLE, ("Location", "ETag")),
    },
    errors=(409,),
    idempotent=True,
)
_CREATE_IN_DEFAULT: Final = replace(
    _CREATE,
    id="createLinkInDefaultProfile",
    summary="Create a link without naming a profile",
    description="The link goes into the caller's oldest profile. A caller without a profile gets one. "
    "In all else it is as `POST /v1/profiles/{profile_id}/links`.",
)
_READ: Final = Doc(
    id="readLink",
    summary="Read a link",
    tag="Links",
    description="With the result of its target's last check, and GitHub's facts if it is synchronised.",
    query=included_clicks.PARAMETERS,
    responses={200: ResponseDoc("The link.", LinkResponse, EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateLink",
    summary="Change a link",
    tag="Links",
    description="Fields that are left out stay as they are. Takes the role editor.",
    body=changes_of(LinkDraft),
    body_example={"target": "https://example.com/summer"},
    responses={
        200: ResponseDoc(
            "The changed link.",
            LinkResponse,
            EXAMPLE | {"target": "https://example.com/summer", "version": 2},
            ("ETag",),
        )
    },
    errors=(409,),
    guarded=True,
)
_DELETE: Final = Doc(
    id="deleteLink",
    summary="Delete a link",
    tag="Links",
    description="Its counts stay. Takes the role editor.",
    responses={204: ResponseDoc("The link is deleted.")},
    guarded=True,
)
