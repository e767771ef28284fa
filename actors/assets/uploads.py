"""Uploads on their way to be assets: decoded in turn, written to their store, then created.

Whatever ends in between, nothing half is left: the store's files are noted before the first of them is written,
so the collector deletes those of an upload that did not end (storage/assets/unused.py).
"""

from typing import BinaryIO, Final, NamedTuple

import trio

from actors.assets.turns import FairTurns
from engine.accounts.access import Caller
from engine.assets.address import MAIN_FILE
from engine.assets.asset import WRITE_LIMIT_S, Asset, AssetDraft, Picture, asset_hash
from engine.assets.ports import AssetFiles, AssetStore, PictureDecoder
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample

DECODERS: Final = 2  # at once in a process: each may take a whole core, and 1.5 GiB of memory
WAIT_LIMIT_S: Final = 60.0
READ_LIMIT_S: Final = 10.0
WAITING: Final = Metric("waypost_uploads_waiting", "Uploads that wait for their turn to be decoded")


class Upload(NamedTuple):
    """A file that a member has sent: its bytes, their BLAKE2b digest, and the member's name for it."""

    file: BinaryIO
    digest: bytes
    name: str


class Uploads:
    """Makes assets of uploads."""

    def __init__(self, store: AssetStore, files: AssetFiles, decoder: PictureDecoder) -> None:
        self.store = store
        self._files = files
        self._decoder = decoder
        self._turns = FairTurns(DECODERS, WAIT_LIMIT_S)

    async def add(
        self, caller: Caller, profile_id: int, tenant_id: int, upload: Upload
    ) -> tuple[Asset, bool]:
        """Return the asset of an upload, and whether it is new. Files that were lost are made again.

        Raises InvalidError if the upload is no picture that is taken, and UnavailableError if it was not its
        turn in time or the store is away, besides the errors of `AssetStore`.
        """
        hash_ = asset_hash(tenant_id, upload.digest)
        existing = await self.store.existing(caller, profile_id, hash_)
        if existing is not None and await self._files.read(hash_, MAIN_FILE) is None:
            await self._write(hash_, await self._decoded(tenant_id, upload))  # they were lost
        if isinstance(existing, Asset):
            return existing, False
        if existing is None:
            picture = await self._decoded(tenant_id, upload)
            existing = picture.stored
            draft = AssetDraft(hash_, upload.name, existing)
            if not await self.store.begin(caller, profile_id, draft):
                await self._write(hash_, picture)
        draft = AssetDraft(hash_, upload.name, existing)
        return await self.store.create(caller, profile_id, draft), True

    async def thumbnail(self, asset: Asset) -> bytes:
        """Return the bytes of an asset's smallest file. Raises UnavailableError if its store is away."""
        with trio.move_on_after(READ_LIMIT_S):
            data = await self._files.read(asset.hash, asset.thumbnail.name)
            if data is not None:
                return data
        raise UnavailableError("the picture's file cannot be read; try again later")

    async def _decoded(self, tenant_id: int, upload: Upload) -> Picture:
        async with self._turns.taken(tenant_id):
            return await self._decoder.decode(upload.file)

    async def _write(self, hash_: str, picture: Picture) -> None:
        widest = max(rendition.width for rendition in picture.renditions)
        main = picture.files[f"{widest}.jpg"]
        with trio.move_on_after(WRITE_LIMIT_S) as limit:
            await self._files.write(hash_, picture.files | {MAIN_FILE: main})
        if limit.cancelled_caught:
            raise UnavailableError("the store of pictures' files is too slow; try again later")

    def samples(self) -> list[Sample]:
        return [WAITING.sample(self._turns.waiting)]
