"""`/v1/profiles/{id}/page`: the draft of a profile's page, and the versions that are published of it."""

from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, Version, json_object, json_response, utc
from api.http.etag import etag, guarded_write, read_response
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.links.announce import announce
from engine.common.errors import InvalidError
from engine.pages.page import ProfilePage
from engine.pages.palette import ColourCorrection, palettes_of
from engine.pages.ports import PageStore
from engine.pages.publication import MAX_VERSIONS, PublishedVersion, StoredDraft, page_digest
from engine.pages.validation import parse_page
from engine.visits.ports import Announcer

# Fields of a response that a request may repeat: a client changes what it has read and sends it back.
_READ_ONLY: Final = (
    "profile_id", "version", "updated_at", "published", "is_changed", "corrections",
)  # fmt: skip


class PageDraftResponse(ProfilePage, frozen=True, kw_only=True):
    """The draft of a page. `version` 0: nobody has written one, and it is what visitors get of such a profile.
    `published` is the number of the version that visitors get; `is_changed`: the draft differs from it.
    `corrections` are the page's colours that visitors get in another shade, as they could not read them."""

    profile_id: Id
    version: int
    updated_at: datetime | None
    published: int | None
    is_changed: bool
    corrections: tuple[ColourCorrection, ...]


class PageVersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A published version, without its page. `user_id` is the member who published it."""

    number: Version
    user_id: Id | None
    published_at: datetime


class PageVersionResponse(PageVersionSummary, frozen=True, kw_only=True):
    """A published version with its page."""

    page: ProfilePage


class PageDraftRoutes:
    """Routes of drafts and versions. `private_hosts`: whether pages may name hosts off the public internet;
    `sends_mail`: whether the engine has a mail server."""

    def __init__(
        self, store: PageStore, announcer: Announcer, *, private_hosts: bool, sends_mail: bool
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._private_hosts = private_hosts
        self._sends_mail = sends_mail

    def routes(self) -> list[Route]:
        path = "/v1/profiles/<profile_id>/page"
        return [
            Route("GET", f"{path}/draft", self.read, _READ),
            Route("PUT", f"{path}/draft", self.put, _PUT),
            Route("POST", f"{path}/publish", self.publish, _PUBLISH),
            Route("GET", f"{path}/versions", self.list_page, _LIST),
            Route("GET", f"{path}/versions/<number>", self.version, _VERSION),
            Route("POST", f"{path}/versions/<number>/restore", self.restore, _RESTORE),
        ]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        draft = await self._store.draft(current_caller(), path_id(profile_id))
        return read_response(draft_response(draft), draft.version, _suffix(draft))

    async def put(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        body = await json_object()
        for name in _READ_ONLY:
            body.pop(name, None)
        page, errors = parse_page(
            body, private_hosts=self._private_hosts, sends_mail=self._sends_mail
        )
        if page is None:
            raise InvalidError(errors)

        async def write(if_version: int | None) -> StoredDraft:
            return await self._store.put_draft(current_caller(), id_, page, if_version)

        return _draft_changed(await self._guarded(id_, write))

    async def publish(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)

        async def write(if_version: int | None) -> PublishedVersion:
            version, change = await self._store.publish(current_caller(), id_, if_version)
            await announce(self._announcer, [change])
            return version

        version = await self._guarded(id_, write)
        location = f"/v1/profiles/{id_}/page/versions/{version.number}"
        return json_response(version_response(version), headers={"Location": location})

    async def list_page(self, profile_id: str) -> Response:
        before, limit = page_of_request()
        id_ = path_id(profile_id)
        versions = await self._store.list_versions(current_caller(), id_, before, limit)
        return json_response(page_response(versions, _summary))

    async def version(self, profile_id: str, number: str) -> Response:
        refuse_parameters()
        key = path_id(profile_id), path_id(number)
        version = await self._store.page_version(current_caller(), *key)
        return read_response(version_response(version), version.number)

    async def restore(self, profile_id: str, number: str) -> Response:
        refuse_parameters()
        id_, number_ = path_id(profile_id), path_id(number)

        async def write(if_version: int | None) -> StoredDraft:
            return await self._store.restore(current_caller(), id_, number_, if_version)

        return _draft_changed(await self._guarded(id_, write))

    async def _guarded(self, profile_id: int, write: Any) -> Any:
        async def read() -> StoredDraft:
            return await self._store.draft(current_caller(), profile_id)

        return await guarded_write(read, write)


def draft_response(draft: StoredDraft) -> PageDraftResponse:
    """Return a draft as the API shows it."""
    return PageDraftResponse(
        profile_id=str(draft.profile_id),
        version=draft.version,
        updated_at=None if draft.updated_at is None else utc(draft.updated_at),
        published=draft.published,
        is_changed=draft.is_changed,
        corrections=palettes_of(draft.page).corrections,
        **_fields(draft.page),
    )


def version_response(version: PublishedVersion) -> PageVersionResponse:
    """Return a published version as the API shows it."""
    return PageVersionResponse(**_fields(_summary(version)), page=version.page)


def _summary(version: PublishedVersion) -> PageVersionSummary:
    return PageVersionSummary(
        number=version.number,
        user_id=None if version.user_id is None else str(version.user_id),
        published_at=utc(version.published_at),
    )


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _suffix(draft: StoredDraft) -> str:
    """Return what a draft's tag has beside its version: publishing changes the response, and so do the links of
    a page that nobody has written."""
    if draft.version:
        return f"p{draft.published or 0}"
    return page_digest(msgspec.json.encode(draft.page))


def _draft_changed(draft: StoredDraft) -> Response:
    headers = {"ETag": etag(draft.version, _suffix(draft))}
    return json_response(draft_response(draft), headers=headers)


_TAG: Final = "Pages"
_PAGE_EXAMPLE: Final = {
    "name": "Ada Lovelace",
    "bio": "Notes on engines",
    "theme": "garden",
    "blocks": [
        {"kind": "heading", "id": "b1", "text": "Work"},
        {"kind": "link", "id": "b2", "link_id": "365072220160000002", "title": "Spring collection"},
    ],
}
_DRAFT_EXAMPLE: Final = _PAGE_EXAMPLE | {
    "profile_id": "365072220160000001",
    "version": 4,
    "updated_at": "2026-05-01T09:31:00Z",
    "published": 3,
    "is_changed": True,
    "corrections": [],
}
_VERSION_EXAMPLE: Final = {
    "number": 3,
    "user_id": "365072220160000003",
    "published_at": "2026-05-01T09:31:00Z",
}
_DRAFT: Final = ResponseDoc("The draft.", PageDraftResponse, _DRAFT_EXAMPLE, ("ETag",))
_NUMBER: Final = {"number": "number of a published version"}
_READ: Final = Doc(
    id="readPageDraft",
    summary="Read the draft of a profile's page",
    tag=_TAG,
    description="Before the first draft: the page that visitors get of a profile without one, its links.",
    responses={200: ResponseDoc("The draft.", PageDraftResponse, _DRAFT_EXAMPLE)},
    tagged=True,
)
_PUT: Final = Doc(
    id="putPageDraft",
    summary="Replace the draft of a profile's page",
    tag=_TAG,
    description="Visitors get it once it is published. Errors name block and field, such as `blocks[2].title`. "
    "What a read shows beside the page may be sent back, and is ignored. Takes the role editor.",
    body=ProfilePage,
    body_example=_PAGE_EXAMPLE,
    responses={200: _DRAFT},
    guarded=True,
)
_PUBLISH: Final = Doc(
    id="publishPage",
    summary="Publish the draft",
    tag=_TAG,
    description="Visitors get it within a second. A draft that is published already makes no new version. "
    f"The last {MAX_VERSIONS} versions are kept. `If-Match` guards the draft. Takes the role editor.",
    responses={
        200: ResponseDoc(
            "The published version.",
            PageVersionResponse,
            _VERSION_EXAMPLE | {"page": _PAGE_EXAMPLE},
            ("Location",),
        )
    },
    guarded=True,
)
_LIST: Final = Doc(
    id="listPageVersions",
    summary="List the published versions of a page",
    tag=_TAG,
    description="Newest first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of versions.",
            ListResponse[PageVersionSummary],
            {"items": [_VERSION_EXAMPLE], "next_cursor": None},
        )
    },
)
_VERSION: Final = Doc(
    id="readPageVersion",
    summary="Read a published version of a page",
    tag=_TAG,
    description="With its page.",
    responses={
        200: ResponseDoc(
            "The version.", PageVersionResponse, _VERSION_EXAMPLE | {"page": _PAGE_EXAMPLE}
        )
    },
    tagged=True,
    paths=_NUMBER,
)
_RESTORE: Final = Doc(
    id="restorePageVersion",
    summary="Make a published version the draft",
    tag=_TAG,
    description="Visitors get it once it is published. `If-Match` guards the draft. Takes the role editor.",
    responses={200: _DRAFT},
    guarded=True,
    paths=_NUMBER,
)
