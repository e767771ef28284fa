"""`GET /v1/profiles/{id}/page/preview`: the draft as visitors would get it, for members.

The document names pictures and the page's code by paths of the visitors' server, so the console leads on there.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import trio
from quart import Response

from api.http.auth import current_caller
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.assets.address import PREFIX, asset_file
from engine.common.errors import NotFoundError
from engine.limits.tenant_slots import TenantSlots
from engine.pages.html.document import render_page
from engine.pages.html.sources import PageSources
from engine.pages.ports import PagePreview, PageStore
from engine.pages.shown_links import link_cards, page_path, repository_cards
from engine.visits.paths.side_path import side_path

MAX_AT_ONCE: Final = 8  # each holds a thread
MAX_OF_TENANT: Final = 2


class PagePreviewRoutes:
    """Routes of previews. `now` is the clock: aware; `visitors_url` has no slash at its end."""

    def __init__(self, store: PageStore, visitors_url: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._visitors_url = visitors_url
        self._now = now
        self._slots = TenantSlots("previews", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/profiles/<profile_id>/page/preview", self.preview, _PREVIEW),
            Route("GET", "/a/<name>", self.asset, _ASSET, access="public"),
            Route("GET", "/@<handle>/qr", self.code, _CODE, access="public"),
        ]

    async def preview(self, profile_id: str) -> Response:
        refuse_parameters()
        caller = current_caller()
        preview = await self._store.preview(caller, path_id(profile_id))
        with self._slots.taken(caller.tenant_id):
            return await trio.to_thread.run_sync(self._response, preview)

    def _response(self, preview: PagePreview) -> Response:
        path = page_path(preview.handle)
        sources = PageSources(
            url=self._visitors_url + path,
            path=path,
            handle=preview.handle,
            title=preview.title,
            links=link_cards(preview.handle, preview.links),
            repositories=repository_cards(preview.links),
            pictures=preview.pictures,
            is_preview=True,
        )
        rendered = render_page(preview.page, sources, self._now())
        policy = rendered.content_security_policy("'self'").decode("ascii")
        policy = policy.replace("img-src 'self'", f"img-src 'self' {self._visitors_url}", 1)
        return Response(
            rendered.body,
            content_type="text/html; charset=utf-8",
            # Nothing of a draft may act for the member who looks at it.
            headers={"Content-Security-Policy": f"{policy}; sandbox"},
        )

    async def asset(self, name: str) -> Response:
        path = PREFIX + name.encode("utf-8", "replace")
        if asset_file(path) is None:
            raise NotFoundError.of("asset")
        return self._lead(path.decode("ascii"))

    async def code(self, handle: str) -> Response:
        path = f"{page_path(handle)}/qr"
        side = side_path(path.encode("ascii"))
        if side is None or side.side != "qr":
            raise NotFoundError.of("page")
        return self._lead(path)

    def _lead(self, path: str) -> Response:
        return Response(b"", status=307, headers={"Location": self._visitors_url + path})


_PREVIEW: Final = Doc(
    id="previewPage",
    summary="Preview the draft of a profile's page",
    tag="Pages",
    description="The document that visitors would get if the draft were published, in a sandbox that pages of "
    "the console may frame. Two previews of a tenant are made at a time; another one gets 429.",
    responses={
        200: ResponseDoc(
            "The page.",
            str,
            "<!doctype html><html lang=en>…</html>\n",
            content_type="text/html; charset=utf-8",
        )
    },
)
_LED: Final = {307: ResponseDoc("It is at the visitors' server.", headers=("Location",))}
_ASSET: Final = Doc(
    id="findAsset",
    summary="Find a picture of a page",
    tag="Pages",
    description="For previews, which name pictures by the paths that they have at the visitors' server.",
    responses=_LED,
    errors=(404,),
    paths={"name": "name of a file of an asset"},
)
_CODE: Final = Doc(
    id="findPageCode",
    summary="Find the QR code of a page",
    tag="Pages",
    description="For previews, as the pictures.",
    responses=_LED,
    errors=(404,),
    paths={"handle": "handle of a profile"},
)
