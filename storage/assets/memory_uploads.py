"""Direct uploads in memory: the twin of storage.assets.direct_uploads."""

from collections.abc import Callable

import trio

from engine.assets.direct_upload import SignedUpload, UploadKey, UploadTooLargeError
from engine.common.errors import UnavailableError


class MemoryDirectUploads:
    """`DirectUploads` without a store: `objects` by path. While it is `away`, calls raise UnavailableError."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False

    async def sign(self, key: UploadKey) -> SignedUpload:
        await self._answer()
        return SignedUpload(f"https://store.example/{key.path}?signature=x", {})

    async def copy(self, key: UploadKey, write: Callable[[bytes], object], max_bytes: int) -> bool:
        await self._answer()
        content = self.objects.get(key.path)
        if content is None:
            return False
        if len(content) > max_bytes:
            raise UploadTooLargeError
        write(content)
        return True

    async def delete(self, key: UploadKey) -> None:
        await self._answer()
        self.objects.pop(key.path, None)

    async def delete_old(self, age_s: float) -> int:
        await self._answer()
        return 0  # they have no age

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("the store of pictures is away")
