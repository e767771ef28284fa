"""The data folder: where everything lies, and the lock that gives it to one run at a time.

    DIR/lock        flock, with the holder's pid in it; never deleted, as that would be a race
    DIR/postgres    the cluster          DIR/postgres.new   a cluster in the making, worth nothing
    DIR/valkey      the append-only file
    DIR/logs        one log a server, and the one before it
    DIR/run         the unix sockets, mode 0700: whoever can enter is trusted

The kernel drops the lock with its process, so a kill -9 leaves nothing to clean up.
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.embedded.errors import EmbeddedError, FolderInUseError, one_line

# A unix socket's path has 107 bytes; the longest of ours ends in "/.s.PGSQL.5432".
MAX_RUN_BYTES = 107 - len("/.s.PGSQL.5432")
# Commas, quotes and % mean something to Postgres' settings and to the drivers' URLs.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")

_held: set[Path] = set()


@dataclass(frozen=True)
class FolderLayout:
    """Where things lie in one data folder. Its paths are absolute, without symbolic links."""

    folder: Path
    run: Path

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def postgres_new(self) -> Path:
        return self.folder / "postgres.new"

    @property
    def valkey(self) -> Path:
        return self.folder / "valkey"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def drop_temporary_run(self) -> None:
        """Leave nothing behind in the system's temporary folder."""
        if self.run.parent != self.folder:
            shutil.rmtree(self.run, ignore_errors=True)


def layout(folder: Path) -> FolderLayout:
    """The layout of `folder`. The sockets move to the system's temporary folder when the path is
    too long for a socket, or has characters that a URL would need quoted."""
    folder = folder.resolve()
    name = f"waypost-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    temporary = Path(tempfile.gettempdir()).resolve()
    for run in (folder / "run", temporary / name):
        if len(os.fsencode(run)) <= MAX_RUN_BYTES and PLAIN_PATH.fullmatch(str(run)):
            return FolderLayout(folder, run)
    return FolderLayout(folder, Path("/tmp") / name)  # noqa: S108  # its owner and mode are checked


def make_folder(folder: Path) -> None:
    """`folder` exists, mode 0700 if it had to be made. Raises EmbeddedError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"cannot make the folder {folder}: {one_line(error)}") from error


def make_run_folder(run: Path) -> None:
    """`run` exists, is ours alone (0700), and is no link that somebody laid in a shared folder.

    Root may find it owned by the account that Postgres had in the last run, and makes it anew.
    """
    make_folder(run.parent)
    try:
        _drop_foreign(run)
        run.mkdir(mode=0o700, exist_ok=True)
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise EmbeddedError(f"the folder for sockets {run} belongs to somebody else")
        run.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot make the folder {run}: {one_line(error)}") from error


def _drop_foreign(run: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        found = run.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        run.unlink()
    elif found.st_uid != 0:
        shutil.rmtree(run)


class FolderLock:
    """The right to one data folder, until `close` or the end of the process."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor: int | None = descriptor
        _held.add(folder)

    def close(self) -> None:
        """Give the folder back. A second call does nothing."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None
        _held.discard(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lock_folder(folder: Path) -> FolderLock:
    """Take `folder`, making it (0700) if missing. Does not wait.

    Raises FolderInUseError when another run has it, EmbeddedError when it can't be made or written.
    """
    make_folder(folder)
    folder = folder.resolve()
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"cannot write to the data folder {folder}: {one_line(error)}"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        pid = _written_pid(descriptor)
        os.close(descriptor)
        raise FolderInUseError(folder, pid) from None
    except OSError as error:
        os.close(descriptor)
        raise EmbeddedError(f"cannot lock the data folder {folder}: {one_line(error)}") from error
    return FolderLock(folder, descriptor)


def locked_here(folder: Path) -> bool:
    """Whether this process holds the lock of `folder`."""
    return folder.resolve() in _held


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
