"""Ports of assets: rows, files and the decoder, implemented by storage."""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from engine.accounts.access import Caller
from engine.assets.asset import Asset, AssetDraft, AssetUsage, Picture, StoredPicture
from engine.assets.direct_upload import SignedUpload, UploadKey
from engine.common.list_page import ListPage


class AssetFiles(Protocol):
    """The files of assets: a folder, or a bucket of an object store.

    All methods raise UnavailableError if the place does not answer, or has no room. A file is whole or not
    there. Files of one hash never change, so writing them again changes nothing.
    """

    async def write(self, hash_: str, files: Mapping[str, bytes]) -> None:
        """Keep files by name, durably. After an error some may be kept."""

    async def read(self, hash_: str, name: str) -> bytes | None:
        """Return the bytes of a file; None if there is none."""

    async def delete(self, hash_: str) -> None:
        """Delete all files of a hash. There may be none."""


class DirectUploads(Protocol):
    """Uploads that clients send to the object store itself. All methods raise UnavailableError."""

    async def sign(self, key: UploadKey) -> SignedUpload:
        """Return the request by which a client sends the file within SIGNED_FOR_S."""

    async def copy(self, key: UploadKey, write: Callable[[bytes], object], max_bytes: int) -> bool:
        """Give an upload to `write` in pieces, in a thread. Returns False if there is none.

        Raises UploadTooLargeError, having given nothing, and whatever `write` raises.
        """

    async def delete(self, key: UploadKey) -> None:
        """Delete an upload. There may be none."""

    async def delete_old(self, age_s: float) -> int:
        """Delete all uploads that were sent so long ago. Returns how many."""


class PictureDecoder(Protocol):
    """Makes renditions of uploads, apart from this process."""

    async def decode(self, upload: BinaryIO) -> Picture:
        """Return the upload as it is shown. `upload` is a real file, read from its start.

        Raises InvalidError if it is no picture that is taken, UnavailableError if there was no time for it.
        """


class AssetStore(Protocol):
    """Assets, as the console changes them for members of a profile.

    The id of a profile or asset that the caller may not see raises NotFoundError. Members who may read a
    profile read its assets, those who may change it create and delete them; ForbiddenError for the others.

    Files are written between begin() and create(), so that whatever dies, the collector finds them.
    """

    async def enter(self, caller: Caller, profile_id: int) -> int:
        """Return the tenant of a profile that may get another asset. Raises ConflictError if it has no room."""

    async def existing(
        self, caller: Caller, profile_id: int, hash_: str
    ) -> Asset | StoredPicture | None:
        """Return the profile's asset with this hash; or what another profile of the tenant has; or None."""

    async def begin(self, caller: Caller, profile_id: int, draft: AssetDraft) -> bool:
        """Note that files are about to be written: for KEPT_S nobody deletes them.

        Returns whether another upload has written them already.
        """

    async def create(self, caller: Caller, profile_id: int, draft: AssetDraft) -> Asset:
        """Create an asset whose files are written, or return the profile's own with that hash.

        Raises ConflictError beyond the profile's limits, UnavailableError if begin() was too long ago.
        """

    async def asset(self, caller: Caller, profile_id: int, asset_id: int) -> Asset:
        """Return one asset."""

    async def list_assets(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        """Return assets with smaller ids than `before` (0: from the newest), the newest first."""

    async def usage(self, caller: Caller, profile_id: int) -> AssetUsage:
        """Return how much of its limits a profile uses."""

    async def delete(self, caller: Caller, profile_id: int, asset_id: int) -> None:
        """Delete an asset. Raises ConflictError while a page has it."""


class UnusedFiles(NamedTuple):
    """Files that no asset has."""

    tenant_id: int
    hash: str


class UnusedFilesStore(Protocol):
    """Files that no asset has, and that no upload may be writing, as the collector sees them."""

    async def claim(self, limit: int) -> list[UnusedFiles]:
        """Claim up to `limit` of them for CLAIM_S. From now on no upload uses them, until they are
        forgotten."""

    async def forget(self, files: Sequence[UnusedFiles]) -> None:
        """Forget files that were claimed, and are deleted."""
