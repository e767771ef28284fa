"""`GET /v1/links/{id}/qr` and `GET /v1/profiles/{id}/qr`: QR codes of links and pages."""

from typing import Annotated, Any, Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError
from engine.links import qr
from engine.links.domain import MAX_DOMAINS, canonical_host
from engine.links.name import encode_path
from engine.links.ports import DomainStore, ProfileStore

_DRAWN_AT_ONCE: Final = 2  # of a console; further ones wait, within their client's rate


class QrRoutes:
    """Routes of QR codes. `visitors_url` has no slash at its end."""

    def __init__(self, store: ProfileStore, domains: DomainStore, visitors_url: str) -> None:
        self._store = store
        self._domains = domains
        self._visitors_url = visitors_url
        self._limiter = trio.CapacityLimiter(_DRAWN_AT_ONCE)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/links/<link_id>/qr", self.of_link, _LINK),
            Route("GET", "/v1/profiles/<profile_id>/qr", self.of_page, _PAGE),
        ]

    async def of_link(self, link_id: str) -> Response:
        look, host = _wishes()
        link = await self._store.link(current_caller(), path_id(link_id))
        if host is not None:
            return await self._drawn(look, await self._own(link.profile_id, host), link.slug)
        if link.short:
            return await self._drawn(look, self._visitors_url, link.slug)
        profile = await self._store.profile(current_caller(), link.profile_id)
        return await self._drawn(look, self._visitors_url, profile.handle, link.slug)

    async def of_page(self, profile_id: str) -> Response:
        look, host = _wishes()
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        url = self._visitors_url if host is None else await self._own(profile.id, host)
        return await self._drawn(look, url, f"@{profile.handle}")

    async def _own(self, profile_id: int, host: str) -> str:
        """Return the URL of the profile's verified domain. Raises InvalidError for another host."""
        page = await self._domains.list_domains(current_caller(), profile_id, 0, MAX_DOMAINS)
        if not any(d.host == host and d.state == "verified" for d in page.items):
            raise InvalidError([FieldError("domain", "must be a verified domain of the profile")])
        return f"{self._visitors_url.partition(':')[0]}://{host}"

    async def _drawn(self, look: qr.QrLook, url: str, *names: str) -> Response:
        address = url + encode_path(*names).decode("ascii")
        image = await trio.to_thread.run_sync(qr.qr_image, address, look, limiter=self._limiter)
        return Response(image, content_type=qr.FORMATS[look.format])


def _wishes() -> tuple[qr.QrLook, str | None]:
    """Return the look and the domain that the request's parameters choose. Raises InvalidError."""
    given, errors = parameters(*qr.PARAMETERS, "domain")
    domain = given.pop("domain", None)
    look, look_errors = qr.qr_look(given)
    if errors or look_errors:
        raise InvalidError([*errors, *look_errors])
    return look, None if domain is None else canonical_host(domain) or ""


def _choice(*values: str) -> Any:
    return Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(values)})]


_COLOUR: Final = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^#?[0-9A-Fa-f]{6}$"})]
_QUERY: Final = (
    Parameter("format", "The image's format; svg, if left out.", _choice(*qr.FORMATS), "png"),
    Parameter(
        "size",
        f"The image's side in pixels; {qr.DEFAULT_SIZE}, if left out. A PNG is somewhat smaller, as each "
        "module has whole pixels.",
        Annotated[int, msgspec.Meta(ge=qr.MIN_SIZE, le=qr.MAX_SIZE)],
        1000,
    ),
    Parameter("dark", "The colour of the modules; black, if left out.", _COLOUR, "14213d"),
    Parameter(
        "light",
        f"The colour behind them; white, if left out. The contrast must be at least {qr.MIN_CONTRAST:g}:1.",
        _COLOUR,
        "ffffff",
    ),
    Parameter(
        "error",
        "How much of the code may be covered or lost: l 7 %, m 15 % (if left out), q 25 %, h 30 %.",
        _choice(*qr.ERROR_LEVELS),
        "q",
    ),
    Parameter(
        "domain",
        "A verified domain of the profile, at which the code leads; the default domain, if left out.",
        str,
        "go.example.com",
    ),
)
_IMAGE: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512">…</svg>'
_ANSWER: Final = ResponseDoc(
    "The image.", str, _IMAGE, content_type=qr.FORMATS["svg"], binary_types=(qr.FORMATS["png"],)
)
_LINK: Final = Doc(
    id="readLinkQrCode",
    summary="Get a link's QR code",
    tag="Links",
    description="Of its shortest address. Visits that come by the code are counted with the trigger `qr`. "
    "Visitors get it at the link's address with `/qr` behind it, with the same parameters.",
    query=_QUERY,
    responses={200: _ANSWER},
)
_PAGE: Final = Doc(
    id="readPageQrCode",
    summary="Get a page's QR code",
    tag="Profiles",
    description="Views that come by the code are counted with the trigger `qr`. Visitors get it at "
    "`/@handle/qr`.",
    query=_QUERY,
    responses={200: _ANSWER},
)
