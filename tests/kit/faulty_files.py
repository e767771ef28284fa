"""Files that fail on request, and that know which of their bytes a power loss would leave.

The files are real ones, so a killed process is simulated by letting go of them: the page cache stays. Beside
them stands a model of the disk. Every write makes pages of 4 KiB dirty; only `sync` brings them to the disk,
and only `sync_folder` brings names there. A power loss keeps of each dirty page, and of each name that
has changed, any version since the last sync. A sync that fails keeps some pages and forgets that the
others are dirty, as kernels do: the next one succeeds and they are still not on the disk.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from storage.file_system import DiskFileSystem

PAGE = 4096


class Killed(BaseException):
    """The end of the process, in the middle of an operation."""


class Fault(NamedTuple):
    """A failure of an operation: before its effect, after it, or with half of the data written."""

    errno: int = errno.EIO
    when: str = "before"


Decide = Callable[[str, int], Fault | BaseException | None]


def never(operation: str, number: int) -> None:
    return None


class Inode:
    """A file's pages: on the disk, and dirty. Its current content is in the real file, under `fd`."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self.disk: dict[int, bytes] = {}
        self.dirty: dict[int, list[bytes]] = {}
        self.length_synced = False

    @classmethod
    def on_disk(cls, data: bytes) -> "Inode":
        inode = cls(-1, len(data))
        inode.length_synced = True
        inode.disk = {at // PAGE: data[at : at + PAGE] for at in range(0, len(data), PAGE)}
        return inode

    def page(self, number: int) -> bytes:
        return os.pread(self.fd, PAGE, number * PAGE)

    def written(self, offset: int, size: int) -> None:
        self.size = max(self.size, offset + size)
        for number in range(offset // PAGE, (offset + max(size, 1) - 1) // PAGE + 1):
            # The newest few versions are enough to choose from.
            self.dirty.setdefault(number, [])[-2:] = [
                *self.dirty.get(number, [])[-2:],
                self.page(number),
            ]

    def synced(self) -> None:
        self.disk.update((number, versions[-1]) for number, versions in self.dirty.items())
        self.dirty.clear()
        self.length_synced = True

    def sync_failed(self, random: Random) -> None:
        for number, versions in self.dirty.items():
            if random.random() < 0.5:
                self.disk[number] = versions[-1]
        self.dirty.clear()

    def survivors(self, random: Random) -> bytes:
        pages = dict(self.disk)
        for number, versions in self.dirty.items():
            kept = random.choice([pages.get(number), *versions])
            if kept is not None:
                pages[number] = kept
        if not self.length_synced and random.random() < 0.3:
            return b""
        data = bytearray(self.size)
        for number, page in pages.items():
            data[number * PAGE : number * PAGE + len(page)] = page
        return bytes(data)


class FaultyFiles:
    """A `FileSystem` that calls `decide(operation, number)` before each operation for a fault or None."""

    COUNTED = ("create", "write", "sync", "sync_folder", "remove", "rename")

    def __init__(self, decide: Decide = never, random: Random | None = None) -> None:
        self.decide = decide
        self.random = random or Random(0)
        self.operations = 0
        self.failed = 0
        self._real = DiskFileSystem()
        self._inodes: dict[int, Inode] = {}
        self._names: dict[Path, Inode] = {}
        # For each name that has changed since its folder was synced: what it has led to, oldest first.
        self._versions: dict[Path, list[Inode | None]] = {}

    # ---- the operations --------------------------------------------------------------------------

    def create(self, path: Path, size: int) -> int:
        fault = self._begin("create")
        fd = self._real.create(path, size)
        self._inodes[fd] = Inode(fd, size)
        self._rebind(path, self._inodes[fd])
        if fault is not None:
            self.close(fd)
            raise_(fault)
        return fd

    def open(self, path: Path) -> int:
        fd = self._real.open(path)
        if path in self._names:
            self._inodes[fd] = self._names[path]
        return fd

    def write(self, fd: int, data: bytes, offset: int) -> None:
        fault = self._begin("write", short=True)
        if fault is not None and fault.when == "short":
            data = data[: len(data) // 2]
        self._real.write(fd, data, offset)
        self._inodes[fd].written(offset, len(data))
        if fault is not None:
            raise_(fault)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return self._real.read(fd, size, offset)

    def sync(self, fd: int) -> None:
        inode = self._inodes[fd]
        try:
            fault = self._begin("sync")
        except OSError:
            inode.sync_failed(self.random)
            raise
        inode.synced()
        if fault is not None:
            raise_(fault)

    def sync_folder(self, path: Path) -> None:
        fault = self._begin("sync_folder")
        for name in [name for name in self._versions if name.parent == path]:
            del self._versions[name]
        if fault is not None:
            raise_(fault)

    def close(self, fd: int) -> None:
        self._inodes.pop(fd, None)
        self._real.close(fd)

    def remove(self, path: Path) -> None:
        fault = self._begin("remove")
        if path in self._names:
            self._real.remove(path)
            self._rebind(path, None)
        if fault is not None:
            raise_(fault)

    def remove_later(self, path: Path) -> None:
        self.remove(path)

    def rename(self, path: Path, to: Path) -> None:
        fault = self._begin("rename")
        self._real.rename(path, to)
        inode = self._names[path]
        self._rebind(path, None)
        self._rebind(to, inode)
        if fault is not None:
            raise_(fault)

    def _begin(self, operation: str, *, short: bool = False) -> Fault | None:
        """Return a fault that comes after the operation; raise one that comes before it."""
        number, self.operations = self.operations, self.operations + 1
        fault = self.decide(operation, number)
        if fault is None:
            return None
        if isinstance(fault, BaseException):
            raise fault
        self.failed += 1
        if fault.when == "before" or (fault.when == "short" and not short):
            raise_(fault)
        return fault

    def _rebind(self, path: Path, inode: Inode | None) -> None:
        self._versions.setdefault(path, [self._names.get(path)]).append(inode)
        if inode is None:
            self._names.pop(path, None)
        else:
            self._names[path] = inode

    # ---- the ends --------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Close all files unchanged, as the kernel does for a process that has ended."""
        for fd in self._inodes:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._inodes.clear()

    def lose_power(self, folder: Path) -> None:
        """Reduce `folder` to the bytes on the disk: the page cache and all processes are gone."""
        self.let_go()
        kept: dict[Path, bytes] = {}
        for path in dict.fromkeys([*self._names, *self._versions]):
            if path.parent == folder:
                inode = self.random.choice(self._versions.get(path, [self._names.get(path)]))
                if inode is not None:
                    kept[path] = inode.survivors(self.random)
        for path in [path for path in self._names if path.parent == folder]:
            path.unlink()
            del self._names[path]
            self._versions.pop(path, None)
        for path, data in kept.items():
            path.write_bytes(data)
            self._names[path] = Inode.on_disk(data)
        for path in [path for path in self._versions if path.parent == folder]:
            del self._versions[path]


class Script:
    """Return faults by the number of the operation; KILL ends the process there."""

    def __init__(self, faults: dict[int, Fault | BaseException]) -> None:
        self._faults = faults

    def __call__(self, operation: str, number: int) -> Fault | BaseException | None:
        return self._faults.get(number)


def raise_(fault: Fault) -> None:
    raise OSError(fault.errno, os.strerror(fault.errno))


def dead(journal: object) -> None:
    """Drop the lock that a killed writer held, as the kernel does."""
    journal._lock.release()  # type: ignore[attr-defined]
