"""`/v1/profiles/{id}/assets`: pictures of a profile, uploaded, listed and deleted."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from quart import Response

from actors.assets.uploads import Upload, Uploads
from api.assets.upload_body import MAX_BODY_BYTES, SpooledUpload
from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, empty_response, json_response, utc
from api.http.etag import tag_matches
from api.http.query import (
    PAGE,
    page_of_request,
    page_response,
    parameters,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.assets.address import main_path, rendition_path
from engine.assets.asset import (
    CONTENT_TYPES,
    MAX_ASSETS,
    MAX_NAME_CHARS,
    MAX_PIXELS,
    MAX_PROFILE_BYTES,
    MAX_UPLOAD_BYTES,
    Asset,
    RenditionFormat,
)
from engine.common.errors import InvalidError
from engine.common.text_rules import text_errors, text_schema
from engine.limits.tenant_slots import TenantSlots

MAX_AT_ONCE: Final = 48
MAX_OF_TENANT: Final = 24


class RenditionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a picture. `width` and `height` are in pixels."""

    url: str
    width: int
    height: int
    format: RenditionFormat
    bytes: int


class AssetResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A picture. `content_type` is what was uploaded; `url` is a JPEG of `width` x `height` pixels; `bytes` is
    the size of all renditions. `page_versions` are those of the profile's page that have it; 0 is the draft."""

    id: Id
    profile_id: Id
    name: str
    content_type: str
    url: str
    width: int
    height: int
    bytes: int
    renditions: list[RenditionResponse]
    page_versions: list[int]
    created_at: datetime


class AssetUsageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of a profile's limits by its pictures; `bytes` is the size of all renditions."""

    assets: int
    bytes: int
    max_assets: int
    max_bytes: int


def upload_slots() -> TenantSlots:
    """Return the slots that uploads of both ways share."""
    return TenantSlots("uploads", total=MAX_AT_ONCE, each=MAX_OF_TENANT)


class AssetRoutes:
    """Routes of assets. `visitors_url` is the start of their addresses, without a slash at the end."""

    def __init__(self, uploads: Uploads, visitors_url: str, slots: TenantSlots) -> None:
        self._uploads = uploads
        self._store = uploads.store
        self._visitors_url = visitors_url
        self._slots = slots

    def routes(self) -> list[Route]:
        path = "/v1/profiles/<profile_id>/assets"
        one = f"{path}/<asset_id>"
        return [
            Route("POST", path, self.create, _CREATE, max_body_bytes=MAX_BODY_BYTES),
            Route("GET", path, self.list_page, _LIST),
            Route("GET", "/v1/profiles/<profile_id>/asset-usage", self.usage, _USAGE),
            Route("GET", one, self.read, _READ),
            Route("GET", f"{one}/thumbnail", self.thumbnail, _THUMBNAIL),
            Route("DELETE", one, self.delete, _DELETE),
        ]

    async def create(self, profile_id: str) -> Response:
        query, errors = parameters("name")
        errors += text_errors(query.get("name", ""), "name", MAX_NAME_CHARS)
        if errors:
            raise InvalidError(errors)
        caller, id_ = current_caller(), path_id(profile_id)
        tenant_id = await self._store.enter(caller, id_)
        with self._slots.taken(tenant_id):
            spooled = SpooledUpload()
            try:
                await spooled.receive()
                name = query.get("name", spooled.name)
                upload = Upload(spooled.file, spooled.digest(), name)
                asset, is_new = await self._uploads.add(caller, id_, tenant_id, upload)
            finally:
                spooled.close()
        return self.created(asset, is_new=is_new)

    def created(self, asset: Asset, *, is_new: bool) -> Response:
        """Return the response for an upload that is this asset."""
        location = f"/v1/profiles/{asset.profile_id}/assets/{asset.id}"
        return json_response(self._response(asset), 201 if is_new else 200, {"Location": location})

    async def list_page(self, profile_id: str) -> Response:
        before, limit = page_of_request()
        items = await self._store.list_assets(current_caller(), path_id(profile_id), before, limit)
        return json_response(page_response(items, self._response))

    async def read(self, profile_id: str, asset_id: str) -> Response:
        refuse_parameters()
        key = path_id(profile_id), path_id(asset_id)
        return json_response(self._response(await self._store.asset(current_caller(), *key)))

    async def usage(self, profile_id: str) -> Response:
        refuse_parameters()
        used = await self._store.usage(current_caller(), path_id(profile_id))
        limits = {"max_assets": MAX_ASSETS, "max_bytes": MAX_PROFILE_BYTES}
        return json_response(AssetUsageResponse(**used._asdict(), **limits))

    async def thumbnail(self, profile_id: str, asset_id: str) -> Response:
        refuse_parameters()
        key = path_id(profile_id), path_id(asset_id)
        asset = await self._store.asset(current_caller(), *key)
        rendition = asset.thumbnail
        headers = {"ETag": f'"{asset.hash}"', "Cache-Control": "private, max-age=86400"}
        if tag_matches(asset.hash):
            return empty_response(304, headers)
        data = await self._uploads.thumbnail(asset)
        return Response(data, content_type=CONTENT_TYPES[rendition.format], headers=headers)

    async def delete(self, profile_id: str, asset_id: str) -> Response:
        refuse_parameters()
        await self._store.delete(current_caller(), path_id(profile_id), path_id(asset_id))
        return empty_response(204)

    def _response(self, asset: Asset) -> AssetResponse:
        return AssetResponse(
            id=str(asset.id),
            profile_id=str(asset.profile_id),
            name=asset.name,
            content_type=asset.content_type,
            url=self._visitors_url + main_path(asset.hash),
            width=asset.width,
            height=asset.height,
            bytes=asset.bytes,
            renditions=[
                RenditionResponse(
                    url=self._visitors_url + rendition_path(asset.hash, each.width, each.format),
                    width=each.width,
                    height=each.height,
                    format=each.format,
                    bytes=each.bytes,
                )
                for each in asset.renditions
            ],
            page_versions=list(asset.page_versions),
            created_at=utc(asset.created_at),
        )


EXAMPLE: Final = {
    "id": "365072220160000005",
    "profile_id": "29482304924123136",
    "name": "studio.jpg",
    "content_type": "image/jpeg",
    "url": "https://go.example/a/0123456789abcdef0123456789abcdef",
    "width": 1040,
    "height": 780,
    "bytes": 61_880,
    "renditions": [
        {
            "url": "https://go.example/a/0123456789abcdef0123456789abcdef-1040.avif",
            "width": 1040,
            "height": 780,
            "format": "avif",
            "bytes": 61_880,
        }
    ],
    "page_versions": [0, 3],
    "created_at": "2026-05-01T10:00:00Z",
}
_PATHS: Final = {"asset_id": "The id of an asset."}
_NAME: Final = Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_NAME_CHARS))]
NAME_PARAMETER: Final = Parameter(
    "name", "Your name for it; left out: the file's name in a form.", _NAME, "studio.jpg"
)
_CREATE: Final = Doc(
    id="createAsset",
    summary="Upload a picture",
    tag="Assets",
    description="The body is a JPEG, PNG, WebP, GIF, AVIF or HEIC file of any `Content-Type`, or a form "
    "(`multipart/form-data`) with one file. It is decoded and encoded anew as AVIF, WebP and JPEG in the "
    "widths that pages use: its metadata (places, cameras, comments) go, and of an animation the first frame "
    f"stays. At most {MAX_UPLOAD_BYTES // 1024**2} MiB and {MAX_PIXELS // 1_000_000} million pixels; a profile "
    f"has up to {MAX_ASSETS} assets and {MAX_PROFILE_BYTES // 1024**2} MiB of renditions. An equal file is the "
    "asset that it was, and answered 200. Takes the role editor.",
    query=(NAME_PARAMETER,),
    responses={
        200: ResponseDoc(
            "The profile has this picture already.", AssetResponse, EXAMPLE, ("Location",)
        ),
        201: ResponseDoc("The new asset.", AssetResponse, EXAMPLE, ("Location",)),
    },
    body_types=("image/*", "application/octet-stream", "multipart/form-data"),
    errors=(409,),
)
_LIST: Final = Doc(
    id="listAssets",
    summary="List pictures",
    tag="Assets",
    description="Assets of the profile, the newest first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of assets.",
            ListResponse[AssetResponse],
            {"items": [EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readAsset",
    summary="Read a picture",
    tag="Assets",
    description="One asset of the profile.",
    paths=_PATHS,
    responses={200: ResponseDoc("The asset.", AssetResponse, EXAMPLE)},
)
_USAGE: Final = Doc(
    id="readAssetUsage",
    summary="Read what pictures take",
    tag="Assets",
    description="How many pictures a profile has and how large they are, with its limits.",
    responses={
        200: ResponseDoc(
            "The usage.",
            AssetUsageResponse,
            {
                "assets": 12,
                "bytes": 3_481_204,
                "max_assets": MAX_ASSETS,
                "max_bytes": MAX_PROFILE_BYTES,
            },
        )
    },
)
_THUMBNAIL: Final = Doc(
    id="readAssetThumbnail",
    summary="Get a picture's smallest file",
    tag="Assets",
    description="For lists: at the console, for members only. Visitors' addresses are in `renditions`.",
    paths=_PATHS,
    responses={
        200: ResponseDoc(
            "The file.",
            str,
            "",
            content_type="image/webp",
            binary_types=("image/jpeg", "image/avif"),
        )
    },
    tagged=True,
)
_DELETE: Final = Doc(
    id="deleteAsset",
    summary="Delete a picture",
    tag="Assets",
    paths=_PATHS,
    description="409 while the page has it, in its draft or a version that is kept. Its files are deleted "
    "within some minutes, unless another profile has an equal one. Takes the role editor.",
    responses={204: ResponseDoc("The asset is deleted.")},
    errors=(409,),
)
