"""Places of client addresses, from a geo file (MaxMind's format: GeoIP2, GeoLite2, DB-IP) or from `iptocc`.

Guarantees:

- The file is copied into the process's own memory (memfd) before it is read. The C reader maps its file, and
  a program that truncates or overwrites a mapped file ends the process with SIGBUS.
- A file is loaded when its inode, size or time changes; a file that changes while it is copied is left for
  the next refresh.
- Every record is read before a file replaces another one. A broken file is refused, counted and logged once,
  and the earlier file stays in use.
- The first file of a process is used at once, and dropped again if it turns out to be broken: half a minute
  without cities at every start would be worse.

Without a geo file, `iptocc` gives countries only.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import iptocc
import maxminddb
import msgspec
import trio
from maxminddb import InvalidDatabaseError

from engine.common.errors import WaypostError
from engine.operations.metrics import Metric, Sample
from engine.visits.place import pack_place, place_of_record
from storage.visits.geo_check import GeoReport

logger = logging.getLogger("waypost.geo")

MAX_FILE_BYTES: Final = 2 * 1024**3
CHECK_LIMIT_S: Final = 600.0
_CHUNK_BYTES: Final = 4 * 1024**2
_ROOT: Final = Path(__file__).resolve().parents[2]

GEO_DATABASE: Final = Metric(
    "waypost_geo_database_info",
    "Edges that look places up in a geo file, or in iptocc (countries only)",
    ("database",),
)
GEO_BUILT_AT: Final = Metric(
    "waypost_geo_built_seconds",
    "Unix time at which the geo file in use was built, in seconds; 0: no file",
    ("process",),
)
GEO_LOADED: Final = Metric("waypost_geo_loaded_total", "Geo files taken into use")
GEO_REFUSED: Final = Metric(
    "waypost_geo_refused_total",
    "Geo files that were broken or not there; the one before stays in use",
)
GEO_LOOKUPS: Final = Metric(
    "waypost_geo_lookups_total", "Client addresses whose place was looked up"
)
GEO_UNREADABLE: Final = Metric(
    "waypost_geo_unreadable_total", "Client addresses whose record in the geo file is broken"
)


class GeoError(WaypostError):
    """A geo file that cannot be used; `str(error)` is the reason, to be read after the file's name."""


class FileIdentity(NamedTuple):
    """A file's inode, size in bytes and time of change in ns: they differ between two files of one name."""

    inode: int
    size: int
    modified_ns: int


class GeoFile:
    """A geo file in memory. Use `load`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._reader = maxminddb.open_database(self._path, maxminddb.MODE_MMAP_EXT)
            metadata = self._reader.metadata()
        except (InvalidDatabaseError, OSError, ValueError) as error:
            self._close_descriptor()
            raise GeoError(
                f"is not a readable geo file: {error}".replace(self._path, "it")
            ) from None
        self.kind = str(metadata.database_type)
        self.built_at = int(metadata.build_epoch)

    @property
    def _path(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __del__(self) -> None:
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def place(self, address: str) -> bytes:
        """Return the packed place of an address, `b""` if unknown.

        Raises InvalidDatabaseError for a broken record, ValueError for an address not of the file's kind.
        """
        return place_of_record(self._reader.get(address))

    async def check(self) -> GeoReport:
        """Read every record in another process. Raises GeoError for a broken record or without any place."""
        with trio.move_on_after(CHECK_LIMIT_S):
            process = await trio.run_process(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "storage.visits.geo_check",
                    f"/proc/self/fd/{self._descriptor}",
                ],
                pass_fds=(self._descriptor,),
                env=os.environ | {"PYTHONPATH": str(_ROOT)},
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            if process.returncode != 0:
                # The reader crashes on some broken files.
                raise GeoError(f"cannot be read: the reader ended with {process.returncode}")
            report = msgspec.json.decode(process.stdout, type=GeoReport)
            if report.error:
                raise GeoError(f"is broken after {report.networks} networks: {report.error}")
            return report
        raise GeoError(f"could not be read in {CHECK_LIMIT_S:g} s")


def signature(path: Path) -> FileIdentity:
    """Return the identity of the file at `path`. May raise OSError."""
    identity = path.stat()
    return FileIdentity(identity.st_ino, identity.st_size, identity.st_mtime_ns)


def load(path: Path) -> tuple[GeoFile, FileIdentity]:
    """Copy a file into memory and open it. Returns (file, identity). Blocks the thread. Raises GeoError."""
    descriptor = -1
    try:
        descriptor = os.memfd_create("waypost-geo", os.MFD_CLOEXEC)
        before = signature(path)
        if before.size > MAX_FILE_BYTES:
            raise GeoError(f"is larger than {MAX_FILE_BYTES // 1024**3} GiB")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
        if signature(path) != before:
            raise FileChangingError("is being written")
    except (OSError, GeoError) as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, GeoError):
            raise
        raise GeoError(f"cannot be read: {error.strerror or error}") from None
    return GeoFile(descriptor), before


class FileChangingError(GeoError):
    """A geo file that another program is writing; a later refresh loads it."""


class GeoPlaceLookup:
    """`PlaceLookup` by the file at `path`; an empty path: by `iptocc` alone."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._file: GeoFile | None = None
        self._seen: FileIdentity | None = None
        self._unchecked = False
        self._missing = False
        self.counts = dict.fromkeys(("loaded", "refused", "lookups", "unreadable"), 0)

    @property
    def database(self) -> str:
        """The database in use: `file` or `iptocc`."""
        return "file" if self._file else "iptocc"

    @property
    def built_at(self) -> int:
        """The Unix time at which the file in use was built; 0 without a file."""
        return self._file.built_at if self._file else 0

    def samples(self, process: str) -> list[Sample]:
        """Return the samples of a process with this name."""
        return [
            GEO_DATABASE.sample(1, self.database),
            GEO_BUILT_AT.sample(self.built_at, process),
            GEO_LOADED.sample(self.counts["loaded"]),
            GEO_REFUSED.sample(self.counts["refused"]),
            GEO_LOOKUPS.sample(self.counts["lookups"]),
            GEO_UNREADABLE.sample(self.counts["unreadable"]),
        ]

    def place(self, address: str) -> bytes:
        self.counts["lookups"] += 1
        if self._file is None:
            return pack_place("", iptocc.country_code(address) or "")
        try:
            return self._file.place(address)
        except InvalidDatabaseError:
            self.counts["unreadable"] += 1
        except ValueError:  # not an address, or IPv6 in a file for IPv4
            pass
        return b""

    async def refresh(self) -> bool:
        if self._path is None:
            return False
        if self._unchecked:
            return await self._check_first()
        try:
            identity = signature(self._path)
        except OSError as error:
            if not self._missing:
                self._missing = True
                self._refuse(f"cannot be read: {error.strerror or error}")
            return False
        self._missing = False
        if identity == self._seen:
            return False
        return await self._exchange(self._path, identity)

    async def _exchange(self, path: Path, identity: FileIdentity) -> bool:
        try:
            file, identity = await trio.to_thread.run_sync(load, path)
            if self._file is not None:
                await file.check()
        except FileChangingError:
            return False
        except GeoError as error:
            # Remember the broken file, not the one at the path, which may be intact by then.
            self._seen = identity
            self._refuse(str(error))
            return False
        self._seen = identity
        self._unchecked = self._file is None
        self._use(file)
        return True

    async def _check_first(self) -> bool:
        assert self._file is not None
        self._unchecked = False
        try:
            await self._file.check()
        except GeoError as error:
            self._file = None
            self._refuse(str(error))
            return True
        return False

    def _use(self, file: GeoFile) -> None:
        self._file = file
        self.counts["loaded"] += 1
        built = time.strftime("%Y-%m-%d", time.gmtime(file.built_at))
        logger.info("places by %s of %s", file.kind, built, extra={"event": "geo_loaded"})

    def _refuse(self, reason: str) -> None:
        self.counts["refused"] += 1
        stays = "the file before it stays" if self._file else "places are countries by iptocc"
        logger.error("%s %s; %s", self._path, reason, stays, extra={"event": "geo_refused"})
