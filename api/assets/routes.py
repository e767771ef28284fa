"""Endpoints of assets, and their dependencies."""

from dataclasses import dataclass

from actors.assets.uploads import Uploads
from api.assets.assets import AssetRoutes, upload_slots
from api.assets.direct_uploads import DirectUploadRoutes
from api.http.routes import Route
from api.http.shared import Shared
from engine.assets.ports import DirectUploads


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetDeps:
    """Dependencies of the endpoints; `direct` is None where the store signs no addresses."""

    uploads: Uploads
    direct: DirectUploads | None


def routes(deps: AssetDeps, shared: Shared) -> list[Route]:
    slots = upload_slots()
    assets = AssetRoutes(deps.uploads, shared.visitors_url, slots)
    direct = DirectUploadRoutes(deps.uploads, deps.direct, assets, slots, shared.now)
    return [*assets.routes(), *direct.routes()]
