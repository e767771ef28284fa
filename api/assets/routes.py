"""Endpoints of assets, and their dependencies."""

from dataclasses import dataclass

from actors.assets.uploads import Uploads
from api.assets.assets import AssetRoutes
from api.http.routes import Route
from api.http.shared import Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetDeps:
    uploads: Uploads


def routes(deps: AssetDeps, shared: Shared) -> list[Route]:
    return AssetRoutes(deps.uploads, shared.visitors_url).routes()
