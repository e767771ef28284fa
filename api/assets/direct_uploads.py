"""`/v1/profiles/{id}/asset-uploads`: pictures that clients send to the object store, at signed addresses."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from quart import Response
from werkzeug.exceptions import RequestEntityTooLarge

from actors.assets.uploads import Upload, Uploads
from api.assets.assets import EXAMPLE, NAME_PARAMETER, AssetResponse, AssetRoutes
from api.assets.upload_body import SpooledUpload
from api.http.auth import current_caller
from api.http.bodies import json_response, utc
from api.http.query import parameters, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.assets.asset import MAX_NAME_CHARS, MAX_UPLOAD_BYTES
from engine.assets.direct_upload import (
    SIGNED_FOR_S,
    UploadKey,
    UploadTooLargeError,
    is_upload_id,
)
from engine.assets.ports import DirectUploads
from engine.common.errors import ConflictError, InvalidError, NotFoundError
from engine.common.text_rules import text_errors
from engine.limits.tenant_slots import TenantSlots


class SignedUploadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A request that sends a file to the store: `method` to `url` with `headers`, until `expires_at`. `id`
    names the upload when it is completed."""

    id: str
    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class DirectUploadRoutes:
    """Routes of direct uploads. `direct` is None where the store signs no addresses."""

    def __init__(
        self,
        uploads: Uploads,
        direct: DirectUploads | None,
        assets: AssetRoutes,
        slots: TenantSlots,
        now: Callable[[], datetime],
    ) -> None:
        self._uploads = uploads
        self._store = uploads.store
        self._direct = direct
        self._assets = assets
        self._slots = slots
        self._now = now

    def routes(self) -> list[Route]:
        path = "/v1/profiles/<profile_id>/asset-uploads"
        return [
            Route("POST", path, self.sign, _SIGN),
            Route("POST", f"{path}/<upload_id>/complete", self.complete, _COMPLETE),
        ]

    async def sign(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        tenant_id = await self._store.enter(current_caller(), id_)
        key = UploadKey(tenant_id, id_, secrets.token_hex(16))
        expires_at = self._now() + timedelta(seconds=SIGNED_FOR_S)
        signed = await self._signing().sign(key)
        response = SignedUploadResponse(
            id=key.id,
            method="PUT",
            url=signed.url,
            headers=signed.headers,
            expires_at=utc(expires_at),
        )
        return json_response(response, headers={"Cache-Control": "no-store"})

    async def complete(self, profile_id: str, upload_id: str) -> Response:
        query, errors = parameters("name")
        name = query.get("name", "")
        errors += text_errors(name, "name", MAX_NAME_CHARS)
        if errors:
            raise InvalidError(errors)
        caller, id_ = current_caller(), path_id(profile_id)
        tenant_id = await self._store.enter(caller, id_)
        direct = self._signing()
        if not is_upload_id(upload_id):
            raise NotFoundError.of("upload")
        key = UploadKey(tenant_id, id_, upload_id)
        with self._slots.taken(tenant_id):
            spooled = SpooledUpload()
            try:
                await self._fetch(direct, key, spooled)
                upload = Upload(spooled.file, spooled.digest(), name)
                asset, is_new = await self._uploads.add(caller, id_, tenant_id, upload)
            except (InvalidError, RequestEntityTooLarge):
                await direct.delete(key)
                raise
            finally:
                spooled.close()
        return self._assets.created(asset, is_new=is_new)

    async def _fetch(self, direct: DirectUploads, key: UploadKey, spooled: SpooledUpload) -> None:
        """Copy an upload. Raises NotFoundError, RequestEntityTooLarge."""
        try:
            if not await direct.copy(key, spooled.write, MAX_UPLOAD_BYTES):
                raise NotFoundError.of("upload")
        except UploadTooLargeError:
            raise RequestEntityTooLarge from None

    def _signing(self) -> DirectUploads:
        if self._direct is None:
            raise ConflictError(
                "upload", "cannot go to the store, which signs no addresses; send it to /assets"
            )
        return self._direct


_TAG: Final = "Assets"
_PATHS: Final = {"upload_id": "The id of an upload, as it was signed."}
_SIGN: Final = Doc(
    id="signUpload",
    summary="Sign an upload to the object store",
    tag=_TAG,
    description="Answers a request by which a client sends a picture to the store itself, within "
    f"{SIGNED_FOR_S // 60} minutes; then complete the upload. 409 where pictures are in a folder, which signs "
    "nothing. Takes the role editor.",
    responses={
        200: ResponseDoc(
            "The request to send.",
            SignedUploadResponse,
            {
                "id": "0123456789abcdef0123456789abcdef",
                "method": "PUT",
                "url": "https://pictures.s3.amazonaws.com/uploads/1/2/0123456789abcdef0123456789abcdef?X-Amz-…",
                "headers": {},
                "expires_at": "2026-05-01T10:15:00Z",
            },
        )
    },
    errors=(409,),
)
_COMPLETE: Final = Doc(
    id="completeUpload",
    summary="Make an asset of an upload in the object store",
    tag=_TAG,
    description="Decodes what was sent, as uploads of the other way are, with the same limits: at most "
    f"{MAX_UPLOAD_BYTES // 1024**2} MiB (413). What is refused is deleted; the rest goes within two hours. "
    "May be repeated meanwhile, and then answers 200. Takes the role editor.",
    paths=_PATHS,
    query=(NAME_PARAMETER,),
    responses={
        200: ResponseDoc(
            "The profile has this picture already.", AssetResponse, EXAMPLE, ("Location",)
        ),
        201: ResponseDoc("The new asset.", AssetResponse, EXAMPLE, ("Location",)),
    },
    errors=(409, 413),
)
