"""`/v1/profiles/{id}/links` and `/v1/links/{id}`: where a profile's paths lead."""

from functools import partial

import msgspec
from quart import Response

from api.announce import announce
from api.auth import caller
from api.bodies import LinkAnswer, answer, draft_of, empty, json_object, utc
from api.etag import etag, guarded_delete, guarded_write, read_answer
from api.query import nothing_else, page_answer, page_asked, path_id
from api.routes import Route
from engine import name
from engine.link import Link, LinkDraft, checked
from engine.ports import Announcer, ProfileStore
from engine.profile import Change


class LinkRoutes:
    """`private_hosts` says whether a target may lead to a host that is not on the public
    internet."""

    def __init__(
        self, store: ProfileStore, announcer: Announcer, visitors_url: str, private_hosts: bool
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._visitors_url = visitors_url
        self._checked = partial(checked, private_hosts=private_hosts)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/links", self.create),
            Route("GET", "/v1/profiles/<profile_id>/links", self.page),
            Route("GET", "/v1/links/<link_id>", self.read),
            Route("PATCH", "/v1/links/<link_id>", self.update),
            Route("DELETE", "/v1/links/<link_id>", self.delete),
        ]

    async def create(self, profile_id: str) -> Response:
        nothing_else()
        id_ = path_id(profile_id)
        body = await json_object()
        profile = await self._store.profile(caller(), id_)
        draft = draft_of(LinkDraft, body, self._checked, {})
        link, change = await self._store.create_link(caller(), id_, draft)
        await announce(self._announcer, [change])
        headers = {"Location": f"/v1/links/{link.id}", "ETag": etag(link.version)}
        return answer(self._shown(profile.handle, link), 201, headers)

    async def page(self, profile_id: str) -> Response:
        after, limit = page_asked()
        profile = await self._store.profile(caller(), path_id(profile_id))
        items = await self._store.list_links(caller(), profile.id, after, limit)
        return answer(page_answer(items, partial(self._shown, profile.handle)))

    async def read(self, link_id: str) -> Response:
        nothing_else()
        link = await self._store.link(caller(), path_id(link_id))
        return read_answer(await self._shown_alone(link), link.version)

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
        return answer(await self._shown_alone(link), headers={"ETag": etag(link.version)})

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

    async def _shown_alone(self, link: Link) -> LinkAnswer:
        profile = await self._store.profile(caller(), link.profile_id)
        return self._shown(profile.handle, link)

    def _shown(self, handle: str, link: Link) -> LinkAnswer:
        return LinkAnswer(
            id=str(link.id),
            profile_id=str(link.profile_id),
            slug=link.slug,
            target=link.target,
            title=link.title,
            status=link.status,
            kind=link.kind,
            passthrough=link.passthrough,
            short=link.short,
            url=self._url(handle, link.slug),
            short_url=self._url(link.slug) if link.short else None,
            version=link.version,
            created_at=utc(link.created_at),
            updated_at=utc(link.updated_at),
        )

    def _url(self, *keys: str) -> str:
        return self._visitors_url + name.encode_path(*keys).decode("ascii")


_FIELDS = tuple(field.name for field in msgspec.structs.fields(LinkDraft))
