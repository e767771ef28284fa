"""`/v1/profiles/{id}/links` and `/v1/links/{id}`: where a profile's paths lead."""

from functools import partial
from typing import Final

import msgspec
from quart import Response

from api.announce import announce
from api.auth import caller
from api.bodies import (
    Checked,
    LinkAnswer,
    ListAnswer,
    answer,
    draft_of,
    empty,
    json_object,
    stored_answer,
)
from api.etag import etag, guarded_delete, guarded_write, read_answer
from api.idempotency import answered, once_asked
from api.link_answers import EXAMPLE, LinkAnswers, besides
from api.query import PAGE, nothing_else, page_answer, page_asked, path_id
from api.routes import Answer, Doc, Route, changes_of
from engine.idempotency import StoredResponse
from engine.link import Link, LinkDraft
from engine.ports import Announcer, ProfileStore
from engine.profile import Change


class LinkRoutes:
    """`check` judges what somebody wants a link to be."""

    def __init__(
        self,
        store: ProfileStore,
        announcer: Announcer,
        visitors_url: str,
        check: Checked[LinkDraft],
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._answers = LinkAnswers(visitors_url)
        self._checked = check

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/links", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/links", self.page, _LIST),
            Route("GET", "/v1/links/<link_id>", self.read, _READ),
            Route("PATCH", "/v1/links/<link_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/links/<link_id>", self.delete, _DELETE),
        ]

    async def create(self, profile_id: str) -> Response:
        nothing_else()
        id_ = path_id(profile_id)
        body = await json_object()
        profile = await self._store.profile(caller(), id_)
        draft = draft_of(LinkDraft, body, self._checked, {})

        def created(made: tuple[Link, Change]) -> StoredResponse:
            link, _ = made
            headers = {"Location": f"/v1/links/{link.id}", "ETag": etag(link.version)}
            return stored_answer(self._answers.changed(profile.handle, link), 201, headers)

        once = await once_asked(created)
        link, change = await self._store.create_link(caller(), id_, draft, once)
        await announce(self._announcer, [change])
        return answered(created((link, change)))

    async def page(self, profile_id: str) -> Response:
        after, limit = page_asked()
        profile = await self._store.profile(caller(), path_id(profile_id))
        items = await self._store.list_links(caller(), profile.id, after, limit)
        return answer(page_answer(items, partial(self._answers.shown, profile.handle)))

    async def read(self, link_id: str) -> Response:
        nothing_else()
        link = await self._store.link(caller(), path_id(link_id))
        profile = await self._store.profile(caller(), link.profile_id)
        return read_answer(self._answers.shown(profile.handle, link), link.version, besides(link))

    async def update(self, link_id: str) -> Response:
        """Change the fields given, keep the others."""
        nothing_else()
        id_ = path_id(link_id)
        body = await json_object()

        async def read() -> Link:
            return await self._store.link(caller(), id_)

        async def write(stored: Link, if_version: int) -> tuple[Link, Change]:
            base = {field: getattr(stored, field) for field in _FIELDS}
            draft = draft_of(LinkDraft, body, self._checked, base)
            return await self._store.update_link(caller(), id_, draft, if_version)

        link, change = await guarded_write(read, write)
        await announce(self._announcer, [change])
        profile = await self._store.profile(caller(), link.profile_id)
        shown = self._answers.changed(profile.handle, link)
        return answer(shown, headers={"ETag": etag(link.version)})

    async def delete(self, link_id: str) -> Response:
        nothing_else()
        id_ = path_id(link_id)

        async def read() -> Link:
            return await self._store.link(caller(), id_)

        async def delete(if_version: int | None) -> Change:
            return await self._store.delete_link(caller(), id_, if_version)

        change = await guarded_delete(read, delete)
        await announce(self._announcer, [change])
        return empty(204)


_FIELDS = tuple(field.name for field in msgspec.structs.fields(LinkDraft))

_CREATE: Final = Doc(
    id="createLink",
    summary="Create a link",
    tag="Links",
    description="Visitors reach it at `/handle/slug`, and at `/slug` if it claimed that. "
    "Takes the role editor.",
    body=LinkDraft,
    body_example={
        "slug": "spring",
        "target": "https://example.com/spring",
        "title": "Spring collection",
    },
    answers={201: Answer("The link.", LinkAnswer, EXAMPLE, ("Location", "ETag"))},
    errors=(409,),
    once=True,
)
_LIST: Final = Doc(
    id="listLinks",
    summary="List a profile's links",
    tag="Links",
    description="Oldest first.",
    query=PAGE,
    answers={
        200: Answer(
            "A page of links.", ListAnswer[LinkAnswer], {"items": [EXAMPLE], "next_cursor": None}
        )
    },
)
_READ: Final = Doc(
    id="readLink",
    summary="Read a link",
    tag="Links",
    answers={200: Answer("The link.", LinkAnswer, EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateLink",
    summary="Change a link",
    tag="Links",
    description="Fields that are left out stay as they are. Takes the role editor.",
    body=changes_of(LinkDraft),
    body_example={"target": "https://example.com/summer"},
    answers={
        200: Answer(
            "The link as it is now.",
            LinkAnswer,
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
    description="What it counted stays. Takes the role editor.",
    answers={204: Answer("It is gone.")},
    guarded=True,
)
