"""Files of assets in memory: the twin of storage.assets.local_files."""

from collections.abc import Mapping

import trio

from engine.common.errors import UnavailableError


class MemoryAssetFiles:
    """`AssetFiles` without a disk. While it is `away`, every call raises UnavailableError."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.away = False

    async def write(self, hash_: str, files: Mapping[str, bytes]) -> None:
        await self._answer()
        self.files.setdefault(hash_, {}).update(files)

    async def read(self, hash_: str, name: str) -> bytes | None:
        await self._answer()
        return self.files.get(hash_, {}).get(name)

    async def delete(self, hash_: str) -> None:
        await self._answer()
        self.files.pop(hash_, None)

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("the store of assets is away")
