"""Backup: its manifest, the names of its members, and which backups this engine can restore.

A backup is a tar file of streams, cut into parts of a known size so that it can be written to a pipe:

    postgres.sql.gz.NNNNNN                        what pg_dump says of the schema `waypost`, gzipped
    journals/ID/FIRST.segment.gz.NNNNNN           a segment without the zeros at its end, gzipped
    assets/HASH.NNNNNN                            the files of a picture in this folder, by name (MessagePack)
    owner.json                                    the first account's credentials, if the folder has them
    manifest.json, manifest.json.sha256           the counts, and the size and SHA-256 of each member above
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from engine.common.errors import WaypostError

FORMAT: Final = 1
PART_BYTES: Final = 8 * 1024 * 1024
MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024
POSTGRES: Final = "postgres.sql.gz"
OWNER: Final = "owner.json"
MANIFEST: Final = "manifest.json"
MANIFEST_SUM: Final = "manifest.json.sha256"

_PART: Final = re.compile(
    r"(postgres\.sql\.gz|journals/[0-9a-f]{32}/[0-9]{20}\.segment\.gz|assets/[0-9a-f]{32})\.[0-9]{6}"
)
_PICTURE_FILE: Final = re.compile(r"main\.jpg|card\.png|[1-9][0-9]{0,3}\.(avif|webp|jpg)")
MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024
_TABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class BackupError(WaypostError):
    """A backup that cannot be made, or a file that cannot be restored; the text says why."""


class BackupMember(msgspec.Struct, frozen=True):
    """A member of the tar file: its name, its size in bytes, and the SHA-256 of its content in hex."""

    name: str
    size: int
    sha256: str


class BackupJournal(msgspec.Struct, frozen=True, kw_only=True):
    """A journal that was not retired at the backup's moment, with its watermark. `kept` is how many of its
    segments the backup has: 0 for a journal of another machine, or one that is wholly counted."""

    id: UUID
    folded: int
    kept: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a backup. `rows` are those of each table at its moment, `clicks` the raw clicks and views
    among them; `postgres` is the server_version_num of the server. `pictures` is how many have their files in
    the backup, None if these are in a bucket; `missing_pictures` how many had none in the folder."""

    format: int
    waypost: str
    moment: datetime
    postgres: int
    migrations: list[tuple[str, str]]
    rows: dict[str, int]
    clicks: int
    journals: list[BackupJournal]
    members: list[BackupMember]
    pictures: int | None = None
    missing_pictures: int = 0


def stream_of(name: str) -> str:
    """Return the stream that the member `name` is a part of. Raises BackupError for a name of no backup."""
    if name in (OWNER, MANIFEST, MANIFEST_SUM):
        return name
    match = _PART.fullmatch(name)
    if match is None:
        raise BackupError(f"it has a member {name[:100]!r}, which is not of a backup")
    return match[1]


def part_name(stream: str, number: int) -> str:
    return f"{stream}.{number:06d}"


def segment_stream(journal_id: UUID, first: int) -> str:
    return f"journals/{journal_id.hex}/{first:020d}.segment.gz"


def segment_of(stream: str) -> tuple[str, str] | None:
    """Return the folder and the file name of a stream's segment, None if it is none."""
    if not stream.startswith("journals/"):
        return None
    _, folder, file = stream.split("/")
    return folder, file.removesuffix(".gz")


def picture_stream(hash_: str) -> str:
    return f"assets/{hash_}"


def picture_of(stream: str) -> str | None:
    """Return the hash of a stream's picture, None if it is none."""
    return stream.removeprefix("assets/") if stream.startswith("assets/") else None


def pack_picture(files: Mapping[str, bytes]) -> bytes:
    """Return the files of a picture as unpack_picture() reads them."""
    return msgspec.msgpack.encode(files)


def unpack_picture(data: bytes) -> dict[str, bytes]:
    """Return the files of a picture by name. Raises BackupError."""
    try:
        files = msgspec.msgpack.decode(data, type=dict[str, bytes])
    except msgspec.MsgspecError as error:
        raise BackupError(f"the files of a picture cannot be read: {error}") from None
    for name in files:
        if not _PICTURE_FILE.fullmatch(name):
            raise BackupError(f"a picture has a file {name[:100]!r}, which is none of a picture")
    return files


def parse_manifest(data: bytes) -> Manifest:
    """Parse a manifest. Raises BackupError if it is none, or of another format."""
    try:
        stated = msgspec.json.decode(data, type=_StatedFormat).format
        if stated != FORMAT:
            raise BackupError(
                f"it has format {stated}, and this version of Waypost restores format {FORMAT}"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"its manifest cannot be read: {error}") from None
    for table in manifest.rows:
        if not _TABLE.fullmatch(table):
            raise BackupError(f"its manifest names a table {table[:100]!r}")
    return manifest


class _StatedFormat(msgspec.Struct):
    format: int


def require_same_schema(manifest: Manifest, migrations: Sequence[tuple[str, str]]) -> None:
    """Raise BackupError unless the backup's schema is the one that `migrations` (name, SHA-256) make."""
    stored, ours = dict(manifest.migrations), dict(migrations)
    if stored == ours:
        return
    missing, extra = sorted(ours.keys() - stored.keys()), sorted(stored.keys() - ours.keys())
    changed = sorted(name for name in stored.keys() & ours.keys() if stored[name] != ours[name])
    differences = [
        *(f"it lacks {name}" for name in missing),
        *(f"it has {name}" for name in extra),
        *(f"{name} differs" for name in changed),
    ]
    raise BackupError(
        f"it is of Waypost {manifest.waypost} with another schema than this version's "
        f"({'; '.join(differences[:3])}): restore it with the version that made it, then update"
    )
