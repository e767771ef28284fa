"""The journal's file operations, behind a seam so that tests can fail the n-th one or lose power."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

from storage.file_release import FileReleaser


class FileSystem(Protocol):
    """Every call may raise OSError."""

    def create(self, path: Path, size: int) -> int:
        """A new file of `size` zero bytes whose space is really allocated; its descriptor."""

    def open(self, path: Path) -> int: ...

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """All of `data`, or OSError."""

    def read(self, fd: int, size: int, offset: int) -> bytes: ...

    def sync(self, fd: int) -> None: ...

    def sync_folder(self, path: Path) -> None: ...

    def close(self, fd: int) -> None: ...

    def remove(self, path: Path) -> None:
        """The name and the space, if there is such a file."""

    def remove_later(self, path: Path) -> None:
        """The name at once; the space is freed some time later, without the caller's waiting."""

    def rename(self, path: Path, to: Path) -> None:
        """In one step, in the place of what `to` was before."""


class DiskFileSystem:
    """The real ones."""

    def __init__(self) -> None:
        self._releaser = FileReleaser()

    def create(self, path: Path, size: int) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Not a hole: a full disk must be known now, not at a write that visitors wait for.
            os.posix_fallocate(fd, 0, size)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return fd

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if os.pwrite(fd, data, offset) != len(data):
            raise OSError("short write")

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_folder(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_later(self, path: Path) -> None:
        try:
            fd = self.open(path)
        except OSError:
            self.remove(path)  # there is no such file, or no descriptor for it
            return
        try:
            self.remove(path)
        finally:
            self._releaser.close(fd)

    def rename(self, path: Path, to: Path) -> None:
        path.replace(to)


class FileLock:
    """An advisory lock that the kernel drops when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> bool:
        """True when this process holds it now; False when another does. May raise OSError."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
