"""`/openapi.json` and `/docs`: the reference of the console's routes, for programs and for people.

Both are made once, for the first client that asks. The page loads nothing from other hosts and runs no script.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib import metadata, resources
from typing import Any, Final

import msgspec
from quart import Response

from api.http.routes import Doc, ResponseDoc, Route
from api.reference import openapi
from api.reference.page import page

STYLE: Final = "/docs.css"
_CACHED: Final = {"Cache-Control": "public, max-age=300"}


class ReferenceRoutes:
    """Routes of the reference, which describes `routes` and these. `url` is the console's public URL."""

    def __init__(self, routes: Sequence[Route], url: str) -> None:
        self._routes = tuple(routes)
        self._url = url or "/"

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/openapi.json", self.document, _DOCUMENT, access="public"),
            Route("GET", "/docs", self.page, access="public"),
            Route("GET", STYLE, self.style, access="public"),
        ]

    @cached_property
    def _document(self) -> dict[str, Any]:
        described = [*self._routes, *self.routes()]
        return openapi.document(described, version=metadata.version("waypost"), url=self._url)

    @cached_property
    def _json(self) -> bytes:
        return msgspec.json.encode(self._document)

    @cached_property
    def _page(self) -> bytes:
        return page(self._document, STYLE).encode()

    @cached_property
    def _style(self) -> bytes:
        return (resources.files(__package__) / "reference.css").read_bytes()

    async def document(self) -> Response:
        return Response(self._json, content_type="application/json", headers=_CACHED)

    async def page(self) -> Response:
        return Response(self._page, content_type="text/html; charset=utf-8", headers=_CACHED)

    async def style(self) -> Response:
        return Response(self._style, content_type="text/css; charset=utf-8", headers=_CACHED)


_DOCUMENT: Final = Doc(
    id="readOpenApi",
    summary="Read this description",
    tag="Service",
    description="The OpenAPI 3.1 document of this console.",
    responses={200: ResponseDoc("The document.", dict[str, Any])},
)
