"""`/`, every screen's URL and `/assets/…`: the dashboard's files. What a screen shows comes from `/v1`."""

from functools import cached_property
from typing import Final

from quart import Response, request
from werkzeug.exceptions import NotFound

from api.dashboard.files import DashboardFile, DashboardFiles, dashboard_files
from api.dashboard.shell import POLICY, THEMES, shell
from api.http.auth import COOKIE
from api.http.bodies import empty_response
from api.http.etag import tag_matches
from api.http.routes import Route

# What a screen's path begins with; js/screens.js says which screens there are.
SCREENS: Final = (
    "/", "/login", "/join", "/reset", "/setup", "/shared", "/profiles", "/account", "/jobs", "/system",
)  # fmt: skip
DETAILS: Final = ("/p", "/jobs", "/system", "/account")
THEME_COOKIE: Final = "waypost_theme"  # js/theme.js sets it
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class DashboardRoutes:
    """Routes of the shell and its assets. All are public: the data are not."""

    def routes(self) -> list[Route]:
        rules = [*SCREENS, *(f"{path}/<path:_>" for path in DETAILS)]
        return [
            *(Route("GET", rule, self.shell, access="public") for rule in rules),
            Route("GET", "/assets/<hash_>/<path:name>", self.asset, access="public"),
            Route("GET", "/favicon.ico", self.icon, access="public"),
        ]

    @cached_property
    def _assets(self) -> DashboardFiles:
        return dashboard_files()

    @cached_property
    def _shells(self) -> dict[tuple[bool, str], DashboardFile]:
        return {
            (session, theme): DashboardFile(
                "shell.html", shell(self._assets, session=session, theme=theme).encode()
            )
            for session in (False, True)
            for theme in ("", *THEMES)
        }

    async def shell(self, _: str = "") -> Response:
        session = COOKIE in request.cookies
        theme = request.cookies.get(THEME_COOKIE, "")
        theme = theme if theme in THEMES else ""
        tag = f"{self._assets.hash}-{session:d}{theme}"
        headers = {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "private, no-cache",
            "ETag": f'W/"{tag}"',
            "Vary": "Accept-Encoding, Cookie",
        }
        if tag_matches(tag):
            return empty_response(304, headers)
        return _encoded(self._shells[session, theme], headers)

    async def asset(self, hash_: str, name: str) -> Response:
        """Return an asset of this version. A page of another version gets 404 and loads itself anew."""
        asset = self._assets.get(name)
        if asset is None or hash_ != self._assets.hash:
            raise NotFound("there is no such asset in this version; load the page anew")
        return _encoded(asset, {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"})

    async def icon(self) -> Response:
        asset = self._assets.get("icon.svg")
        assert asset is not None
        return _encoded(asset, {"Cache-Control": "public, max-age=86400"})


def _encoded(asset: DashboardFile, headers: dict[str, str]) -> Response:
    """Return the asset in the smallest form that the client takes."""
    accepted = request.accept_encodings
    body = asset.plain
    if accepted.quality("br") > 0:
        body, headers = asset.brotli, headers | {"Content-Encoding": "br"}
    elif accepted.quality("gzip") > 0:
        body, headers = asset.gzip, headers | {"Content-Encoding": "gzip"}
    return Response(body, content_type=asset.content_type, headers=headers)
