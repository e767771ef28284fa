"""Daily keys of visitors' pseudonyms: on no disk, and the same for all edges.

Edges of one machine share a file in memory (tmpfs). It outlives a restart of the edges, not of the machine.

    /dev/shm/waypost-keys-UID-HASH/        0700, HASH of the data folder's path
        keys      0600, JSON of engine/visits/daily_key.py     lock      flock while an edge exchanges `keys`
        of        the path of the data folder: without it, any engine deletes this folder at its start

Edges of other machines get keys by messages (storage/visits/edge_channel.py).
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.common.errors import UnavailableError
from engine.visits.daily_key import DailyKey, best, pack_keys, unpack_keys
from storage.embedded.errors import EmbeddedError
from storage.embedded.folder import make_run_folder
from storage.file_system import FileLock

MAX_FILE_BYTES: Final = 4096
STALE_S: Final = 48 * 3600
_IN_MEMORY: Final = ("tmpfs", "ramfs")


class TmpfsKeyStore:
    """`LocalKeyStore` in a folder in memory; use `open_key_store`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "keys"

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        lock = FileLock(self.folder / "lock")
        if not self._acquire(lock):
            raise UnavailableError("another edge exchanges keys")
        try:
            data = self._read()
            best_keys = best([*(unpack_keys(data) or ()), *keys], now_us)
            packed = pack_keys(best_keys.values())
            if packed != data:
                self._write(packed)
            return best_keys
        finally:
            lock.release()

    def _acquire(self, lock: FileLock) -> bool:
        try:
            return lock.acquire()
        except FileNotFoundError:
            # A cleaner may have deleted the folder in tmpfs. The edges still hold their keys: create it again.
            try:
                make_run_folder(self.folder)
            except EmbeddedError as error:
                raise OSError(str(error)) from error
            return lock.acquire()

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as file:
                return file.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            return b""

    def _write(self, packed: bytes) -> None:
        new = self._file.with_name("keys.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(packed)
        new.replace(self._file)


def open_key_store(data: Path) -> TmpfsKeyStore | None:
    """Return the key store of a data folder; None if no file system in memory can hold it."""
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    prefix = f"waypost-keys-{os.geteuid()}-"
    for parent in _candidates():
        if not is_in_memory(parent):
            continue
        folder = parent / f"{prefix}{name}"
        try:
            make_run_folder(folder)
            (folder / "of").write_bytes(os.fsencode(data.resolve()))
        except (EmbeddedError, OSError):
            continue
        _remove_stale(parent, prefix, folder)
        return TmpfsKeyStore(folder)
    return None


def _candidates() -> list[Path]:
    shared = "/dev/shm"  # noqa: S108  # folders in it have their owner and mode checked
    return [Path(path) for path in (shared, os.environ.get("XDG_RUNTIME_DIR", "")) if path]


def memory_folder() -> Path | None:
    """Return the folder in memory that holds this machine's key stores; None if there is none."""
    usable = (p for p in _candidates() if is_in_memory(p) and os.access(p, os.W_OK | os.X_OK))
    return next(usable, None)


def is_in_memory(folder: Path) -> bool:
    """Return whether the folder's file system is tmpfs or ramfs, by the kernel's list of mounts."""
    try:
        device = folder.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    device_number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[2:3] == [device_number]:
            return rest.split(" ")[0] in _IN_MEMORY
    return False


def swap_files() -> list[str]:
    """Return the swap files and devices of this machine, without compressed memory (zram)."""
    try:
        lines = Path("/proc/swaps").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return []
    names = [line.split()[0] for line in lines if line.strip()]
    return [name for name in names if "zram" not in name]


def _remove_stale(parent: Path, prefix: str, own: Path) -> None:
    """Delete this user's key stores that are older than STALE_S or whose data folder was deleted."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > STALE_S
            if folder != own and (old or _is_orphaned(folder / "of")):
                shutil.rmtree(folder, ignore_errors=True)


def delete_key_stores(below: Path) -> None:
    """Delete the key stores, of any user, whose data folders are or were in the folder `below`.

    For tests and benchmarks, whose data folders nobody starts an engine on again.
    """
    for parent in _candidates():
        for folder in parent.glob("waypost-keys-*") if is_in_memory(parent) else ():
            with contextlib.suppress(OSError):
                data = Path(os.fsdecode((folder / "of").read_bytes()))
                if data.is_relative_to(below.resolve()):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_orphaned(of: Path) -> bool:
    """Return whether the data folder with the path in the file `of` was deleted. May raise OSError."""
    written = of.read_bytes()
    return bool(written) and not Path(os.fsdecode(written)).exists()
