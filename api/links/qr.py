"""`GET /v1/links/{id}/qr` and `GET /v1/profiles/{id}/qr`: QR codes of links and pages."""

import re
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.assets.asset import Asset
from engine.assets.ports import AssetFiles, AssetStore
from engine.common.errors import FieldError, InvalidError, NotFoundError, UnavailableError
from engine.links.codes import qr, qr_logo
from engine.links.domain import MAX_DOMAINS, canonical_host
from engine.links.name import encode_path
from engine.links.ports import DomainStore, ProfileStore
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import NO_FEATURES, Features, needed_features, words_of

_DRAWN_AT_ONCE: Final = 2  # of a console; further ones wait, within their client's rate
_ID: Final = re.compile("[1-9][0-9]{0,18}")


class QrWish(NamedTuple):
    """Wishes of a request for a code: its look, the domain at which it leads and the asset that is its logo;
    None: the default domain, no logo. An empty text is no domain or asset."""

    look: qr.QrLook
    domain: str | None
    logo: str | None


class Pictures(NamedTuple):
    """Profiles' assets, and their files."""

    store: AssetStore
    files: AssetFiles


class QrRoutes:
    """Routes of QR codes. `visitors_url` has no slash at its end."""

    def __init__(
        self, store: ProfileStore, domains: DomainStore, pictures: Pictures, visitors_url: str
    ) -> None:
        self._store = store
        self._domains = domains
        self._pictures = pictures
        self._visitors_url = visitors_url
        self._limiter = trio.CapacityLimiter(_DRAWN_AT_ONCE)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/links/<link_id>/qr", self.of_link, _LINK),
            Route("GET", "/v1/profiles/<profile_id>/qr", self.of_page, _PAGE),
        ]

    async def of_link(self, link_id: str) -> Response:
        wish = _wish()
        link = await self._store.link(current_caller(), path_id(link_id))
        logo = await self._logo(link.profile_id, wish)
        if wish.domain is not None:
            url = await self._own(link.profile_id, wish.domain, needed_features(link.slug))
            return await self._drawn(wish.look, logo, url + _text(*link.slug.split("/")))
        if link.short:
            return await self._drawn(wish.look, logo, self._visitors_url + _text(link.slug))
        profile = await self._store.profile(current_caller(), link.profile_id)
        address = self._visitors_url + link_path(profile.handle, link.slug).decode("ascii")
        return await self._drawn(wish.look, logo, address)

    async def of_page(self, profile_id: str) -> Response:
        wish = _wish()
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        logo = await self._logo(profile.id, wish)
        url = self._visitors_url
        if wish.domain is not None:
            url = await self._own(profile.id, wish.domain)
        return await self._drawn(wish.look, logo, url + _text(f"@{profile.handle}"))

    async def _own(self, profile_id: int, host: str, needed: Features = NO_FEATURES) -> str:
        """Return the URL of the profile's verified domain. Raises InvalidError for another host, and for one
        that does not allow what the slug needs."""
        page = await self._domains.list_domains(current_caller(), profile_id, 0, MAX_DOMAINS)
        own = next((d for d in page.items if d.host == host and d.state == "verified"), None)
        if own is None:
            raise InvalidError([FieldError("domain", "must be a verified domain of the profile")])
        if not needed <= frozenset(own.slugs):
            reason = f"must be a domain that allows slugs with {words_of(needed)}"
            raise InvalidError([FieldError("domain", reason)])
        return f"{self._visitors_url.partition(':')[0]}://{host}"

    async def _logo(self, profile_id: int, wish: QrWish) -> bytes | None:
        """Return the file of the wanted logo. Raises InvalidError for what is no asset of the profile."""
        if wish.logo is None:
            return None
        try:
            if not _ID.fullmatch(wish.logo):
                raise NotFoundError.of("asset")
            asset = await self._pictures.store.asset(current_caller(), profile_id, int(wish.logo))
        except NotFoundError:
            reason = "must be the id of a picture among this profile's assets"
            raise InvalidError([FieldError("logo", reason)]) from None
        name = _rendition(asset, qr_logo.logo_pixels(wish.look))
        file = await self._pictures.files.read(asset.hash, name)
        if file is None:
            raise UnavailableError("the picture's file cannot be read")
        return file

    async def _drawn(self, look: qr.QrLook, logo: bytes | None, address: str) -> Response:
        draw = partial(qr.qr_image, address, look)
        if logo is not None:
            if qr.code_of(address, qr_logo.LEVEL) is None:
                reason = "must be left out: the address is too long for a code with a logo"
                raise InvalidError([FieldError("logo", reason)])
            draw = partial(qr_logo.qr_image_with_logo, address, look, logo)
        image = await trio.to_thread.run_sync(draw, limiter=self._limiter)
        return Response(image, content_type=qr.FORMATS[look.format])


def _text(*names: str) -> str:
    return encode_path(*names).decode("ascii")


def _rendition(asset: Asset, pixels: int) -> str:
    """Return the name of the smallest WebP file of a picture that is large enough, or of the largest."""
    files = sorted((r for r in asset.renditions if r.format == "webp"), key=lambda r: r.width)
    fitting = (file for file in files if max(file.width, file.height) >= pixels)
    return next(fitting, files[-1]).name


def _wish() -> QrWish:
    """Return what the request's parameters choose. Raises InvalidError."""
    given, errors = parameters(*qr.PARAMETERS, "domain", "logo")
    domain, logo = given.pop("domain", None), given.pop("logo", None)
    look, look_errors = qr.qr_look(given)
    if errors or look_errors:
        raise InvalidError([*errors, *look_errors])
    return QrWish(look, None if domain is None else canonical_host(domain) or "", logo)


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
    Parameter(
        "logo",
        "The id of an asset of the profile: its picture stands in the middle of the code. The code then has "
        "the level h of error correction, and the picture at most a quarter of its side.",
        Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[1-9][0-9]{0,18}$"})],
        "365072220160000021",
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
