"""The file of a backup: a tar that is written to any sink, and read with every byte checked.

Each member's header must be byte for byte the one that the writer makes of its name and size, its padding must
be zeros, and its content must have the manifest's SHA-256; the manifest has its own beside it. So whatever was
flipped, cut, added or forged is refused: also links, devices and paths that lead elsewhere, as no header of
theirs is one of ours. The checksums tell damage, not a forger: restore only files that you have made.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

import msgspec

from engine.operations.backup import (
    MANIFEST,
    MANIFEST_SUM,
    MAX_MANIFEST_BYTES,
    PART_BYTES,
    BackupError,
    BackupMember,
    Manifest,
    parse_manifest,
    part_name,
    stream_of,
)

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_CHUNK_BYTES: Final = 1024 * 1024
GZIP: Final = 31  # zlib's window with gzip's header


class Sink(Protocol):
    """Anything that takes bytes. May raise OSError."""

    def write(self, data: bytes, /) -> object: ...


class BackupWriter:
    """Writes members, then finish(). All calls block and may raise OSError."""

    def __init__(self, sink: Sink, moment_s: int) -> None:
        self._sink = sink
        self._moment_s = moment_s
        self.members: list[BackupMember] = []
        self.size = 0

    def add(self, name: str, data: bytes) -> None:
        """Write a member whole."""
        self._write(name, data)
        self.members.append(BackupMember(name, len(data), hashlib.sha256(data).hexdigest()))

    def stream(self, name: str) -> "PartStream":
        """Return a stream that is written in parts of PART_BYTES. One at a time."""
        return PartStream(self, name)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which gets the members, and the end."""
        manifest = msgspec.structs.replace(manifest, members=self.members)
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        if len(data) > MAX_MANIFEST_BYTES:
            raise BackupError(f"its manifest has more than {MAX_MANIFEST_BYTES:,} bytes")
        self._write(MANIFEST, data)
        self._write(MANIFEST_SUM, _sum_line(data))
        self._put(_END)

    def _write(self, name: str, data: bytes) -> None:
        self._put(_header(name, len(data), self._moment_s))
        self._put(data)
        self._put(bytes(-len(data) % _BLOCK))

    def _put(self, data: bytes) -> None:
        self._sink.write(data)
        self.size += len(data)


class PartStream:
    """A stream of a backup, held in memory up to a part's size. close() writes the last part."""

    def __init__(self, writer: BackupWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._number = 0
        self._buffer = bytearray()

    def write(self, data: bytes, /) -> int:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._add(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(data)

    def close(self) -> None:
        if self._buffer or not self._number:
            self._add(bytes(self._buffer))

    def _add(self, part: bytes) -> None:
        if self._number > 999_999:
            raise BackupError("the backup is larger than 8 TB")
        self._writer.add(part_name(self._name, self._number), part)
        self._number += 1


class _Entry(NamedTuple):
    member: BackupMember
    offset: int


class BackupReader:
    """A backup in an open file. Call verify() first; what is read later is checked again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries: list[_Entry] = []
        self.manifest_sha256 = ""

    def verify(self, progress: Callable[[int], object] = lambda offset: None) -> Manifest:
        """Read all, and return the manifest. `progress` gets the offset. Raises BackupError, OSError."""
        self._file.seek(0)
        self._entries.clear()
        last: dict[str, bytes] = {}
        while (head := self._next_head()) is not None:
            name, size = head
            data = self._content(name, size)
            progress(self._file.tell())
            if name in (MANIFEST, MANIFEST_SUM):
                last[name] = data
                continue
            if last:
                raise BackupError(f"it has the member {name} behind its manifest")
            member = BackupMember(name, size, hashlib.sha256(data).hexdigest())
            self._entries.append(_Entry(member, self._file.tell() - size - -size % _BLOCK))
        return self._checked_manifest(last)

    def _checked_manifest(self, last: dict[str, bytes]) -> Manifest:
        if list(last) != [MANIFEST, MANIFEST_SUM]:
            raise BackupError("it has no manifest at its end, so it was not written whole")
        data = last[MANIFEST]
        if last[MANIFEST_SUM] != _sum_line(data):
            raise BackupError("its manifest is not as it was written")
        manifest = parse_manifest(data)
        for entry, member in zip(self._entries, manifest.members, strict=False):
            if entry.member != member:
                raise BackupError(f"its member {entry.member.name} is not as it was written")
        if len(self._entries) != len(manifest.members):
            raise BackupError("it has not the members that its manifest names")
        self.manifest_sha256 = hashlib.sha256(data).hexdigest()
        return manifest

    def _next_head(self) -> tuple[str, int] | None:
        """Return the name and size of the next member, None at the end."""
        block = self._file.read(_BLOCK)
        if block == bytes(_BLOCK):
            if self._file.read(2 * _BLOCK) != bytes(_BLOCK):
                raise BackupError("it is cut off, or goes on behind its end")
            return None
        if len(block) < _BLOCK:
            raise BackupError("it is cut off")
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            ours = _header(info.name, info.size, int(info.mtime))
        except (tarfile.HeaderError, ValueError):
            raise BackupError("it is damaged, or no backup") from None
        limit = MAX_MANIFEST_BYTES if info.name == MANIFEST else PART_BYTES
        if block != ours or info.size > limit:
            raise BackupError(f"its member {info.name[:100]!r} is not as a backup has it")
        stream_of(info.name)
        return info.name, info.size

    def _content(self, name: str, size: int) -> bytes:
        data = self._file.read(size)
        padding = self._file.read(-size % _BLOCK)
        if len(data) < size or padding != bytes(-size % _BLOCK):
            raise BackupError(f"it is cut off or damaged at its member {name}")
        return data

    def streams(self) -> list[str]:
        """Return the names of the streams, in order."""
        return list(dict.fromkeys(stream_of(entry.member.name) for entry in self._entries))

    def parts(self, stream: str) -> Iterator[bytes]:
        """Yield the parts of a stream. Raises BackupError if the file has changed meanwhile, OSError."""
        for member, offset in self._entries:
            if stream_of(member.name) == stream:
                self._file.seek(offset)
                data = self._file.read(member.size)
                if hashlib.sha256(data).hexdigest() != member.sha256:
                    raise BackupError(f"its member {member.name} changed while it was read")
                yield data

    def unzipped(self, stream: str) -> Iterator[bytes]:
        """Yield the content of a gzipped stream in chunks. Raises as parts()."""
        unzip = zlib.decompressobj(GZIP)
        try:
            for part in self.parts(stream):
                while part:
                    yield unzip.decompress(part, _CHUNK_BYTES)
                    part = unzip.unconsumed_tail
        except zlib.error as error:
            raise BackupError(f"its stream {stream} cannot be unzipped: {error}") from None
        if not unzip.eof:
            raise BackupError(f"its stream {stream} is cut off")


def _header(name: str, size: int, moment_s: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, moment_s, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _sum_line(manifest: bytes) -> bytes:
    """Return the line that `sha256sum -c` reads."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
