"""Direct uploads in an object store that signs addresses: S3 and its like, Google Cloud Storage, Azure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from engine.assets.direct_upload import (
    PREFIX,
    SIGNED_FOR_S,
    SignedUpload,
    UploadKey,
    UploadTooLargeError,
)
from engine.assets.ports import AssetFiles, DirectUploads
from storage.assets.object_store import ObjectAssetFiles

_CHUNK_BYTES: Final = 256 * 1024
# Azure wants to be told what kind of object a PUT makes.
_HEADERS: Final = {"AzureStore": {"x-ms-blob-type": "BlockBlob"}}
_SIGNING: Final = ("S3Store", "GCSStore", "AzureStore")


class ObjectDirectUploads:
    """`DirectUploads` beside the files of assets in a store."""

    def __init__(self, files: ObjectAssetFiles) -> None:
        self._files = files
        self._headers = _HEADERS.get(type(files.store).__name__, {})

    async def sign(self, key: UploadKey) -> SignedUpload:
        obstore, store = self._files.obstore, self._files.store
        lifetime = timedelta(seconds=SIGNED_FOR_S)
        url = await self._files.run(partial(obstore.sign, store, "PUT", key.path, lifetime))
        return SignedUpload(url, self._headers)

    async def copy(self, key: UploadKey, write: Callable[[bytes], object], max_bytes: int) -> bool:
        return await self._files.run(partial(self._copy, key, write, max_bytes))

    async def delete(self, key: UploadKey) -> None:
        obstore, store = self._files.obstore, self._files.store
        await self._files.run(partial(obstore.delete, store, [key.path]))

    async def delete_old(self, age_s: float) -> int:
        return await self._files.run(partial(self._delete_old, age_s))

    def _copy(self, key: UploadKey, write: Callable[[bytes], object], max_bytes: int) -> bool:
        try:
            found = self._files.obstore.get(self._files.store, key.path)
        except FileNotFoundError:
            return False
        if found.meta["size"] > max_bytes:
            raise UploadTooLargeError
        for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
            write(bytes(chunk))
        return True

    def _delete_old(self, age_s: float) -> int:
        before, deleted = datetime.now(UTC) - timedelta(seconds=age_s), 0
        for batch in self._files.obstore.list(self._files.store, prefix=f"{PREFIX}/"):
            old = [each["path"] for each in batch if each["last_modified"] < before]
            if old:
                self._files.obstore.delete(self._files.store, old)
            deleted += len(old)
        return deleted


def direct_uploads(files: AssetFiles) -> DirectUploads | None:
    """Return the direct uploads beside these files; None if their store cannot sign addresses."""
    if isinstance(files, ObjectAssetFiles) and type(files.store).__name__ in _SIGNING:
        return ObjectDirectUploads(files)
    return None
