"""`/v1/profiles/{id}/links` and `/v1/links/{id}`: the links of a profile."""

from functools import partial
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    ListResponse,
    Validator,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from api.links.announce import announce
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses, tag_suffix
from engine.common.idempotency import StoredResponse
from engine.links.link import Link, LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import ProfileChange
from engine.visits.ports import Announcer


class LinkRoutes:
    """Routes of links. `validate` validates drafts of links."""

    def __init__(
        self,
        store: ProfileStore,
        announcer: Announcer,
        visitors_url: str,
        validate: Validator[LinkDraft],
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._responses = LinkResponses(visitors_url)
        self._validate = validate

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/links", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/links", self.list_page, _LIST),
            Route("GET", "/v1/links/<link_id>", self.read, _READ),
            Route("PATCH", "/v1/links/<link_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/links/<link_id>", self.delete, _DELETE),
        ]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        body = await json_object()
        profile = await self._store.profile(current_caller(), id_)
        draft = draft_of(LinkDraft, body, self._validate, {})

        def created(link_and_change: tuple[Link, ProfileChange]) -> StoredResponse:
            link, _ = link_and_change
            headers = {"Location": f"/v1/links/{link.id}", "ETag": etag(link.version)}
            return replayable_response(
                self._responses.response_with_warnings(profile.handle, link), 201, headers
            )

        idempotent_request = await idempotency_of_request(created)
        link, change = await self._store.create_link(
            current_caller(), id_, draft, idempotent_request
        )
        await announce(self._announcer, [change])
        return response_of(created((link, change)))

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        items = await self._store.list_links(current_caller(), profile.id, after, limit)
        return json_response(
            page_response(items, partial(self._responses.response, profile.handle))
        )

    async def read(self, link_id: str) -> Response:
        refuse_parameters()
        link = await self._store.link(current_caller(), path_id(link_id))
        profile = await self._store.profile(current_caller(), link.profile_id)
        return read_response(
            self._responses.response(profile.handle, link), link.version, tag_suffix(link)
        )

    async def update(self, link_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(link_id)
        body = await json_object()

        async def read() -> Link:
            return await self._store.link(current_caller(), id_)

        def merged(stored: Link) -> LinkDraft:
            base = {field: getattr(stored, field) for field in _FIELDS}
            return draft_of(LinkDraft, body, self._validate, base)

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


_FIELDS = tuple(field.name for field in msgspec.structs.fields(LinkDraft))

_CREATE: Final = Doc(
    id="createLink",
    summary="Create a link",
    tag="Links",
    description="Visitors reach it at `/handle/slug`, and at `/slug` if the link claims that. "
    "Takes the role editor.",
    body=LinkDraft,
    body_example={
        "slug": "spring",
        "target": "https://example.com/spring",
        "title": "Spring collection",
    },
    responses={201: ResponseDoc("The link.", LinkResponse, EXAMPLE, ("Location", "ETag"))},
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listLinks",
    summary="List a profile's links",
    tag="Links",
    description="Oldest first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of links.",
            ListResponse[LinkResponse],
            {"items": [EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readLink",
    summary="Read a link",
    tag="Links",
    description="With the result of its target's last check, and GitHub's facts if it is synchronised.",
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
