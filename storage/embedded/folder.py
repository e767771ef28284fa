"""The data folder: its layout, and the lock that reserves it for one run at a time.

    DIR/lock        flock, with the holder's pid in it; never deleted, as that would be a race
    DIR/postgres    the cluster          DIR/postgres.new   an unfinished cluster, deleted at the next start
    DIR/valkey      the append-only file
    DIR/logs        per server, its log and the log before it
    DIR/journals    the edges' journals       DIR/owner.json   the first account's credentials
    DIR/restore.unfinished   there while a backup is restored: nothing else may use the folder
    DIR/run         the unix sockets, mode 0700: every process that can enter is trusted

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

# A unix socket's path has at most 107 bytes; the longest one here ends in "/.s.PGSQL.5432".
MAX_RUN_BYTES = 107 - len("/.s.PGSQL.5432")
# Commas, quotes and % mean something to Postgres' settings and to the drivers' URLs.
UNFINISHED_RESTORE = "restore.unfinished"
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")

_locked_here: set[Path] = set()


@dataclass(frozen=True)
class FolderLayout:
    """The paths of one data folder, absolute and without symbolic links."""

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

    @property
    def journals(self) -> Path:
        return self.folder / "journals"

    def drop_temporary_run(self) -> None:
        """Delete the run folder if it is in the system's temporary folder."""
        if self.run.parent != self.folder:
            shutil.rmtree(self.run, ignore_errors=True)


def layout(folder: Path) -> FolderLayout:
    """Return the layout of `folder`. The sockets are in the system's temporary folder if the path is too long
    for a socket or has characters that need quoting in a URL."""
    folder = folder.resolve()
    name = f"waypost-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    temporary = Path(tempfile.gettempdir()).resolve()
    for run in (folder / "run", temporary / name):
        if len(os.fsencode(run)) <= MAX_RUN_BYTES and PLAIN_PATH.fullmatch(str(run)):
            return FolderLayout(folder, run)
    return FolderLayout(folder, Path("/tmp") / name)  # noqa: S108  # its owner and mode are checked


def make_folder(folder: Path) -> None:
    """Make `folder` with mode 0700 unless it exists. Raises EmbeddedError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"cannot make the folder {folder}: {one_line(error)}") from error


def make_run_folder(run: Path) -> None:
    """Make `run` a real folder (no link) of this user alone, mode 0700. Raises EmbeddedError.

    As root, replace a folder that belongs to the account of Postgres in the last run.
    """
    make_folder(run.parent)
    try:
        _drop_foreign(run)
        run.mkdir(mode=0o700, exist_ok=True)
        status = run.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise EmbeddedError(f"the folder for sockets {run} belongs to another user")
        run.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot make the folder {run}: {one_line(error)}") from error


def _drop_foreign(run: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        status = run.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        run.unlink()
    elif status.st_uid != 0:
        shutil.rmtree(run)


class FolderLock:
    """The lock of one data folder, until `close` or the end of the process."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor: int | None = descriptor
        _locked_here.add(folder)

    def close(self) -> None:
        """Release the folder. A second call does nothing."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None
        _locked_here.discard(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lock_folder(folder: Path, *, for_restore: bool = False) -> FolderLock:
    """Lock `folder` without waiting, and make it (0700) if it is missing.

    Raises FolderInUseError if another run has locked it, EmbeddedError if it cannot be made or written, or,
    unless `for_restore`, holds a restore that did not end.
    """
    make_folder(folder)
    folder = folder.resolve()
    if not for_restore and (folder / UNFINISHED_RESTORE).exists():
        raise EmbeddedError(
            f"the data folder {folder} holds an unfinished restore: run `waypost restore` again"
        )
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
    """Return whether this process holds the lock of `folder`."""
    return folder.resolve() in _locked_here


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
