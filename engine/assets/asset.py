"""An asset: a picture of a profile, and its renditions, the files that visitors get of it."""

from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import msgspec

RenditionFormat = Literal["avif", "webp", "jpg"]
SourceFormat = Literal["jpeg", "png", "webp", "gif", "avif", "heif"]

# Widths in pixels that pages show pictures at: a column at one, two and three pixels a point.
WIDTHS: Final = (320, 640, 1040)
FORMATS: Final[tuple[RenditionFormat, ...]] = ("avif", "webp", "jpg")
CONTENT_TYPES: Final[dict[str, str]] = {
    "avif": "image/avif",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "png": "image/png",
}
MAX_UPLOAD_BYTES: Final = 10 * 1024**2
MAX_PIXELS: Final = 50_000_000
MAX_RATIO: Final = 5  # of a picture's longer side to its shorter one
MAX_RENDITION_BYTES: Final = 2 * 1024**2
MAX_NAME_CHARS: Final = 120
MAX_ASSETS: Final = 500  # of a profile
MAX_PROFILE_BYTES: Final = 100 * 1024**2
HASH_CHARS: Final = 32
# Files that no asset has are kept as long after the last upload that was about to write them.
KEPT_S: Final = 600.0
WRITE_LIMIT_S: Final = 120.0
CLAIM_S: Final = 600.0
DELETE_LIMIT_S: Final = 60.0
# Part of every hash: pictures that are encoded in another way get other addresses, as files never change.
ENCODING: Final = b"1"


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a picture."""

    width: int
    height: int
    format: RenditionFormat
    bytes: int

    @property
    def name(self) -> str:
        """The name of its file among those of the picture."""
        return f"{self.width}.{self.format}"


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as it was decoded and encoded again: the size that it is shown at, and its renditions.

    `files` has the bytes of each rendition by its name.
    """

    source: SourceFormat
    width: int
    height: int
    renditions: tuple[Rendition, ...]
    files: dict[str, bytes]

    @property
    def stored(self) -> "StoredPicture":
        return StoredPicture(self.source, self.width, self.height, self.renditions)


class StoredPicture(NamedTuple):
    """A picture whose files are stored: what an asset's row needs of it."""

    source: SourceFormat
    width: int
    height: int
    renditions: tuple[Rendition, ...]

    @property
    def bytes(self) -> int:
        return sum(rendition.bytes for rendition in self.renditions)


class AssetDraft(NamedTuple):
    """An asset that is about to be created: its hash, the member's name for it, and its picture."""

    hash: str
    name: str
    picture: StoredPicture


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a profile. `hash` names its files, `content_type` is what was uploaded, `bytes` is the size
    of all its renditions. `page_versions` are those of the profile's page that have it, 0 being the draft."""

    id: int
    profile_id: int
    hash: str
    name: str
    content_type: str
    width: int
    height: int
    bytes: int
    renditions: tuple[Rendition, ...]
    created_at: datetime
    page_versions: tuple[int, ...] = ()

    @property
    def thumbnail(self) -> Rendition:
        """The smallest of its files, a WebP if there is one."""
        return min(self.renditions, key=lambda each: (each.format != "webp", each.width))


class AssetUsage(NamedTuple):
    """How many assets a profile has, and the bytes of their renditions."""

    assets: int
    bytes: int


def asset_hash(tenant_id: int, upload_digest: bytes) -> str:
    """Return the name of a picture's files: equal for equal uploads of a tenant, and for no one else's.

    So a tenant's file is stored once, and nobody learns by uploading a picture whether another tenant has it.
    """
    text = b"%b:%d:%b" % (ENCODING, tenant_id, upload_digest)
    return blake2b(text, digest_size=HASH_CHARS // 2, person=b"waypost-asset").hexdigest()


def source_content_type(source: SourceFormat) -> str:
    return f"image/{source}"
