"""`/openapi.json` and `/docs`: the reference of the console's routes, for programs and for people.

Both are made once, with the app. The page loads nothing from other hosts and runs no script.
"""

from collections.abc import Sequence
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
        document = openapi.document(
            [*routes, *self.routes()], version=metadata.version("waypost"), url=url or "/"
        )
        self._json = msgspec.json.encode(document)
        self._page = page(document, STYLE).encode()
        self._style = (resources.files(__package__) / "reference.css").read_bytes()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/openapi.json", self.document, _DOCUMENT, access="public"),
            Route("GET", "/docs", self.page, access="public"),
            Route("GET", STYLE, self.style, access="public"),
        ]

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
