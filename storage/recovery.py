"""Recovery: the journals that dead processes left behind, read to their last valid frame.

A journal whose writer is gone is never written again. Whoever takes its lock ships what Postgres has not
committed yet, then deletes the folder. What cannot be read is counted, never guessed:

- a torn tail is dropped: it had not been synced, or the disk lost it;
- a damaged frame in the middle is stepped over when the frame behind it is intact, else reading goes on with
  the next segment. The clicks between are lost and counted in `dropped_clicks`; the batch behind such a gap
  starts with the gap's first sequence, so that the watermark can move across it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from engine import journal_format
from engine.batch import Batch
from engine.journal_format import FRAME_BYTES, HEADER_BYTES, MAX_FRAME_BYTES, FormatError, Frame
from storage.files import DiskFiles, FileLock, Files
from storage.journal import LOCK_NAME, SUFFIX, remove_folder

_MAX_GAP_CLICKS: Final = 1 << 40


def orphans(folder: Path) -> list[Path]:
    """The journal folders below `folder`, held or not, oldest first."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and _journal_id(path)]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return []


def _journal_id(path: Path) -> UUID | None:
    try:
        return UUID(hex=path.name)
    except ValueError:
        return None


class Recovery:
    """One orphan. `adopt` it, then `read` until None, `close(remove=True)` once committed."""

    def __init__(
        self,
        folder: Path,
        files: Files | None = None,
        released: Callable[[str], object] = lambda name: None,
    ) -> None:
        """`released` is told the folder's name when the orphan is closed."""
        self.folder = folder
        self._released = released
        self.id = UUID(hex=folder.name)
        self.dropped_clicks = 0
        self.dropped_bytes = 0
        self._files = files or DiskFiles()
        self._lock = FileLock(folder / LOCK_NAME)
        self._paths: list[tuple[int, Path]] = []
        self._index = 0
        self._fd = -1
        self._offset = HEADER_BYTES
        self._next = 1

    def adopt(self) -> bool:
        """Take the journal; False when its writer, or another reader, holds it. May raise OSError."""
        if not self.folder.is_dir() or not self._lock.acquire():
            return False
        self._paths = sorted(
            (int(path.stem), path) for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdigit()
        )
        self._rewind()
        return True

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for _, path in self._paths if path.exists())

    def read(self, after: int, max_bytes: int) -> Batch | None:
        """The next clicks behind `after`; None when there are no more. May raise OSError."""
        if after + 1 < self._next:
            self._rewind()
        size = max(max_bytes, MAX_FRAME_BYTES)
        while self._index < len(self._paths):
            limit = self._limit()
            if self._fd < 0:
                self._fd = self._files.open(self._paths[self._index][1])
            data = self._files.read(self._fd, size, self._offset)
            batch = self._take(data, after, limit)
            if batch is not None:
                return batch
        return None

    def _take(self, data: bytes, after: int, limit: int | None) -> Batch | None:
        """The valid frames at the front of `data`; moves on when there are none."""
        start = end = 0
        first: int | None = None
        expected = self._next
        for frame in journal_format.frames(data, 0, expected):
            if limit is not None and frame.first >= limit:
                break
            if frame.last > after and first is None:
                start, first = frame.start, frame.first
            end = frame.end
            self._next = frame.last + 1
        self._offset += end
        if first is not None:
            return Batch(first, self._next - 1, data[start:end])
        if end == 0:
            return self._step_over(data, after, limit)
        return None

    def _step_over(self, data: bytes, after: int, limit: int | None) -> Batch | None:
        """Nothing valid here: the frame behind a damaged one if that is intact, else the next segment."""
        behind = self._frame_behind(data)
        if behind is not None and (limit is None or behind.first < limit):
            expected = max(self._next, after + 1)
            self.dropped_clicks += behind.first - self._next
            self.dropped_bytes += behind.start
            self._offset += behind.end
            self._next = behind.last + 1
            return Batch(expected, behind.last, data[behind.start : behind.end])
        self.dropped_bytes += len(data.rstrip(b"\0"))
        self._files.close(self._fd)
        self._fd = -1
        self._index += 1
        self._offset = HEADER_BYTES
        if self._index < len(self._paths):
            return self._cross_gap(after)
        return None

    def _cross_gap(self, after: int) -> Batch | None:
        """Go on with the next segment; if it starts later than expected, what lies between is lost."""
        first = self._paths[self._index][0]
        gap = first - self._next
        if not 0 < gap < _MAX_GAP_CLICKS:
            return None
        expected = max(self._next, after + 1)
        self.dropped_clicks += gap
        self._next = first
        # An empty payload moves the watermark across the gap.
        return Batch(expected, first - 1, b"") if first - 1 > after else None

    def _frame_behind(self, data: bytes) -> Frame | None:
        length = int.from_bytes(data[:4], "little")
        if not FRAME_BYTES <= length <= MAX_FRAME_BYTES or length >= len(data):
            return None
        try:
            frame = journal_format.frame_at(data, length)
        except FormatError:
            return None
        return frame if frame.first > self._next else None

    def _limit(self) -> int | None:
        if self._index + 1 < len(self._paths):
            return self._paths[self._index + 1][0]
        return None

    def _rewind(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd, self._index, self._offset = -1, 0, HEADER_BYTES
        self._next = self._paths[0][0] if self._paths else 1
        self.dropped_clicks = self.dropped_bytes = 0

    def close(self, *, remove: bool) -> None:
        """Let go; `remove` deletes the folder: only once all of it is committed."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
        if remove:
            remove_folder(self.folder)
        self._lock.release()
        self._released(self.folder.name)
