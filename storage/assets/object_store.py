"""Files of assets in an object store: S3 and its like, Google Cloud Storage, Azure. Objects are named
`ab/abcdef…/640.avif`, behind the URL's path, for the hash that begins with `ab`.

Credentials, region and endpoint come from the store's own environment variables (AWS_…, GOOGLE_…, AZURE_…). The
library's calls block, so they run in threads; each has time limits and is tried again once.
"""

import logging
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import trio

from engine.assets.asset import CONTENT_TYPES
from engine.common.errors import SettingsError, UnavailableError

logger = logging.getLogger("waypost.assets")

CALL_LIMIT: Final = timedelta(seconds=10)
CONNECT_LIMIT: Final = timedelta(seconds=3)
_THREADS: Final = 8
_FOR_EVER: Final = "public, max-age=31536000, immutable"
T = TypeVar("T")


class ObjectAssetFiles:
    """`AssetFiles` at the URL of a bucket, such as s3://bucket/pictures. Opening it connects to nothing.

    `store` is the bucket, `obstore` the library, and run() calls it: for what else is kept there.
    """

    def __init__(self, url: str) -> None:
        try:
            import obstore  # an extra
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError:
            raise SettingsError(
                "WAYPOST_STORAGE_URL needs obstore: pip install 'waypost[object-store]'"
            ) from None
        self.obstore = obstore
        self._errors: tuple[type[Exception], ...] = (BaseError, OSError)
        self._threads = trio.CapacityLimiter(_THREADS)
        try:
            self.store: Any = from_url(
                url,
                client_options={
                    "timeout": CALL_LIMIT,
                    "connect_timeout": CONNECT_LIMIT,
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
                },
                retry_config={"max_retries": 1, "retry_timeout": CALL_LIMIT},
            )
        except (BaseError, ValueError) as error:
            raise SettingsError(f"WAYPOST_STORAGE_URL: {_first_line(error)}") from None

    async def write(self, hash_: str, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            await self.run(partial(self._put, hash_, name, content))

    async def read(self, hash_: str, name: str) -> bytes | None:
        return await self.run(partial(self._get, hash_, name))

    async def delete(self, hash_: str) -> None:
        await self.run(partial(self._delete, hash_))

    def _put(self, hash_: str, name: str, content: bytes) -> None:
        type_ = CONTENT_TYPES[name.rpartition(".")[2]]
        attributes = {"Content-Type": type_, "Cache-Control": _FOR_EVER}
        self.obstore.put(
            self.store, _key(hash_, name), content, attributes=attributes, use_multipart=False
        )

    def _get(self, hash_: str, name: str) -> bytes | None:
        try:
            return bytes(self.obstore.get(self.store, _key(hash_, name)).bytes())
        except FileNotFoundError:
            return None

    def _delete(self, hash_: str) -> None:
        for batch in self.obstore.list(self.store, prefix=_key(hash_, "")):
            self.obstore.delete(self.store, [found["path"] for found in batch])

    async def run(self, work: Callable[[], T]) -> T:
        """Return what a call of the library returns, in a thread. Raises UnavailableError."""
        try:
            return await trio.to_thread.run_sync(work, limiter=self._threads)
        except self._errors as error:
            # With the store's address, which members have no need to know.
            logger.warning(
                "the store of assets failed: %s",
                _first_line(error),
                extra={"event": "asset_store_failed"},
            )
            raise UnavailableError("the store of pictures does not answer") from error


def _key(hash_: str, name: str) -> str:
    return f"{hash_[:2]}/{hash_}/{name}"


def _first_line(error: Exception) -> str:
    """Return what an error says without the debug output below it."""
    return str(error).strip().partition("\n")[0][:200]
