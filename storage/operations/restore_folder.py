"""The data folder that a backup is restored into: empty before, and marked until all is in it.

The mark names the backup and goes last. A kill at any moment leaves a folder that only another restore takes,
which clears it and begins anew.
"""

import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from engine.clicks.journal_format import MAX_FRAME_BYTES
from engine.operations.backup import OWNER, BackupError, segment_of
from storage.assets.stores import FOLDER
from storage.embedded.folder import UNFINISHED_RESTORE, layout
from storage.embedded.process import clear_residents
from storage.file_system import DiskFileSystem
from storage.operations.backup_file import BackupReader

MAX_SEGMENT_BYTES: Final = 2 * 1024**3
# Locks, and what is at the top of a file system.
_IGNORED: Final = frozenset({"lock", "owner.lock", "lost+found"})

_HOMES: Final = {"postgres": "postgres", "postgres.new": "postgres", "valkey": "valkey-server"}


class RestoreFolder:
    """A folder to restore into. Every method may raise BackupError or OSError."""

    def __init__(self, folder: Path) -> None:
        self._layout = layout(folder)
        self.folder = self._layout.folder
        self._mark = self.folder / UNFINISHED_RESTORE
        self._files = DiskFileSystem()

    def require_empty(self) -> None:
        """Raise BackupError unless the folder is missing, empty, or marked as an unfinished restore."""
        if self.folder.exists() and not self.folder.is_dir():
            raise BackupError(f"{self.folder} is not a folder")
        names = set(os.listdir(self.folder)) - _IGNORED if self.folder.exists() else set()
        if names and UNFINISHED_RESTORE not in names:
            raise BackupError(
                f"the folder {self.folder} is not empty (it has {min(names)}): name an empty one with --data, "
                "or move it away"
            )

    def marked(self) -> str:
        """Return the backup that an earlier restore did not end, "" if there was none."""
        return self._mark.read_text() if self._mark.exists() else ""

    def begin(self, backup: str) -> None:
        """Clear what an earlier restore left, and mark the folder. Its lock must be held, and no server run."""
        self.clear()
        with self._mark.open("w") as file:
            file.write(backup)
            file.flush()
            os.fsync(file.fileno())
        self._files.sync_folder(self.folder)

    def clear(self) -> None:
        """Delete what a restore makes, the mark last. Servers that outlive a killed restore are killed."""
        layout = self._layout
        for home, program in _HOMES.items():
            clear_residents(self.folder / home, program, ((signal.SIGKILL, 5.0),))
        for path in (
            layout.postgres,
            layout.postgres_new,
            layout.valkey,
            layout.logs,
            layout.journals,
            self.folder / FOLDER,
        ):
            if path.exists():
                shutil.rmtree(path)
        if layout.run.parent == self.folder and layout.run.exists():
            shutil.rmtree(layout.run)
        (self.folder / OWNER).unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def finish(self) -> None:
        """Take the mark away: all is in the folder and in the servers."""
        self._mark.unlink()
        self._files.sync_folder(self.folder)

    def write(self, backup: BackupReader, stream: str) -> None:
        """Write the file of a stream to the disk, for this user alone: a segment, or owner.json."""
        segment = segment_of(stream)
        if segment is None:
            self._write(self.folder / OWNER, backup.parts(stream))
            return
        journal = self._layout.journals / segment[0]
        for folder in (journal.parent, journal):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._files.sync_folder(folder.parent)
        # A segment is allocated in zeros, and a frame may end in some: they are put back.
        self._write(journal / segment[1], backup.unzipped(stream), zeros=MAX_FRAME_BYTES)

    def _write(self, path: Path, chunks: Iterable[bytes], zeros: int = 0) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                if file.tell() > MAX_SEGMENT_BYTES:
                    raise BackupError(f"its file {path.name} is larger than any segment")
            file.flush()
            os.ftruncate(descriptor, file.tell() + zeros)
            os.fsync(descriptor)
        self._files.sync_folder(path.parent)
