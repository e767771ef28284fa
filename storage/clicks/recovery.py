"""Recovery: the journals that dead processes left behind, read to their last valid frame.

A journal whose writer is gone is never written again. The edge that acquires its lock ships the clicks that
Postgres has not committed yet, then deletes the folder. What cannot be read is counted, never guessed:

- a torn tail is dropped: it had not been synced, or the disk lost it;
- damage in the middle is stepped over: reading goes on with the next intact frame, else with the next segment.
  The clicks between are lost and counted in `dropped_clicks`. Such a gap is a batch of its own, without a
  payload: it is dead-lettered, which moves the watermark across it and leaves a trace of what was lost.

The search for the next intact frame cannot be led astray by what visitors send: no header of theirs may hold
the control characters that mark a frame, and no frame is taken whose sequence says that more clicks are lost
than the bytes between could have held.
"""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

from engine.clicks import journal_format
from engine.clicks.batch import Batch
from engine.clicks.journal_format import (
    CLICKS,
    CLICKS_VERSION,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Frame,
)
from engine.clicks.record_layout import FIXED_BYTES, FormatError
from storage.clicks.journal import LOCK_NAME, SUFFIX, discard, remove_folder
from storage.file_system import DiskFileSystem, FileLock, FileSystem

_MARK: Final = bytes((CLICKS, CLICKS_VERSION))
_MARK_AT: Final = 8


def orphans(folder: Path) -> list[Path]:
    """Return the journal folders below `folder`, locked or not, oldest first."""
    try:
        folders = [path for path in folder.iterdir() if path.is_dir() and _journal_id(path)]
        return sorted(folders, key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return []


def _journal_id(path: Path) -> UUID | None:
    try:
        return UUID(hex=path.name)
    except ValueError:
        return None


class OrphanReader:
    """An orphaned journal: adopt(), then read() until None, close(remove=True) once all is counted."""

    def __init__(
        self,
        folder: Path,
        files: FileSystem | None = None,
        released: Callable[[str], object] = lambda name: None,
    ) -> None:
        """`released` is called with the folder's name when the journal is closed."""
        self.folder = folder
        self._released = released
        self.id = UUID(hex=folder.name)
        self._files = files or DiskFileSystem()
        self._lock = FileLock(folder / LOCK_NAME)
        self._paths: list[tuple[int, Path]] = []
        self._index = 0
        self._fd = -1
        self._offset = HEADER_BYTES
        self._next = 1
        # By the place where each begins, so that what is read twice is counted once.
        self._lost_clicks: dict[int, int] = {}
        self._lost_bytes: dict[tuple[int, int], int] = {}

    def adopt(self) -> bool:
        """Lock the journal. Returns False when its writer or another reader has the lock. Raises OSError."""
        if not self.folder.is_dir() or not self._lock.acquire():
            return False
        self._list()
        return True

    def _list(self) -> None:
        self._paths = sorted(
            (int(path.stem), path) for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdigit()
        )
        self._go_to(0)
        self._next = 1

    @property
    def dropped_clicks(self) -> int:
        return sum(self._lost_clicks.values())

    @property
    def dropped_bytes(self) -> int:
        return sum(self._lost_bytes.values())

    @property
    def oldest(self) -> int:
        """The first sequence of its first segment; clicks before it are deleted, or were never written."""
        return self._paths[0][0] if self._paths else 1

    def holds_clicks(self) -> bool:
        """Return whether there is any click in it, counted or not. Raises OSError."""
        if self.read(0, 1) is None:
            return False
        # Start over: where reading begins is not known before the watermark is.
        self._list()
        self._lost_clicks.clear()
        self._lost_bytes.clear()
        return True

    async def sync(self) -> None:
        """Bring to the disk what its writer may have left in the page cache. Raises OSError.

        Only that may be shipped: a power loss could take clicks back that Postgres has folded.
        """
        await trio.to_thread.run_sync(self._sync_files)

    def _sync_files(self) -> None:
        for _, path in self._paths:
            fd = self._files.open(path)
            try:
                self._files.sync(fd)
            finally:
                self._files.close(fd)
        self._files.sync_folder(self.folder)

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for _, path in self._paths if path.exists())

    def read(self, after: int, max_bytes: int) -> Batch | None:
        """Return the next clicks above `after`; None when there are no more. Raises OSError."""
        self._seek(after)
        while self._index < len(self._paths):
            first, path = self._paths[self._index]
            if self._next < first:
                batch = self._gap(first, after)
            else:
                if self._fd < 0:
                    self._fd = self._files.open(path)
                batch = self._take(after, max(max_bytes, MAX_FRAME_BYTES))
            if batch is not None:
                return batch
        return None

    def _seek(self, after: int) -> None:
        """Go to the segment of the first click above `after`, unless that is still ahead in this one."""
        firsts = [first for first, _ in self._paths]
        index = max(0, bisect_right(firsts, after + 1) - 1)
        if after + 1 < self._next or index > self._index:
            self._go_to(index)
            self._next = min(firsts[index], after + 1)

    def _take(self, after: int, size: int) -> Batch | None:
        """Return the valid frames at this place; move on when there are none."""
        data = self._files.read(self._fd, size, self._offset)
        limit = self._limit()
        start = end = 0
        first: int | None = None
        for frame in journal_format.frames(data, 0, self._next):
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
            return self._step_over(after, limit)
        return None

    def _step_over(self, after: int, limit: int | None) -> Batch | None:
        """Nothing valid here: go to the next intact frame, else to the next segment."""
        if limit is not None and self._next >= limit:
            # These clicks are in the next segment, or were not recorded.
            self._go_to(self._index + 1)
            return None
        frame, damaged = self._search(limit)
        if damaged:
            self._lost_bytes[self._index, self._offset] = damaged
        if frame is None:
            self._go_to(self._index + 1)
            return None
        self._offset += damaged
        return self._gap(frame.first, after)

    def _search(self, limit: int | None) -> tuple[Frame | None, int]:
        """Return the next intact frame of this segment, and how many damaged bytes stand before it."""
        skipped = damaged = 0
        while data := self._files.read(self._fd, 2 * MAX_FRAME_BYTES, self._offset + skipped):
            used = len(data.rstrip(b"\0"))
            if not used:
                break
            at = data.find(_MARK, _MARK_AT) - _MARK_AT
            while 0 <= at < MAX_FRAME_BYTES:
                frame = self._next_intact_frame(data, at, skipped, limit)
                if frame is not None:
                    return frame, skipped + at
                at = data.find(_MARK, at + _MARK_AT + 1) - _MARK_AT
            damaged = skipped + used
            skipped += MAX_FRAME_BYTES
        return None, damaged

    def _next_intact_frame(
        self, data: bytes, at: int, skipped: int, limit: int | None
    ) -> Frame | None:
        try:
            frame = journal_format.frame_at(data, at)
        except FormatError:
            return None
        gap = frame.first - self._next
        if (
            gap < 0
            or gap * FIXED_BYTES > skipped + at
            or (limit is not None and frame.first >= limit)
        ):
            return None
        return frame

    def _gap(self, first: int, after: int) -> Batch | None:
        """Go on with click `first`. Returns the clicks before it as a lost batch, None if there are none."""
        begin = max(self._next, after + 1)
        self._next = first
        if begin >= first:
            return None
        self._lost_clicks[begin] = first - begin
        return Batch(begin, first - 1, b"")

    def _limit(self) -> int | None:
        if self._index + 1 < len(self._paths):
            return self._paths[self._index + 1][0]
        return None

    def _go_to(self, index: int) -> None:
        """Go to the front of a segment. `_next` stays, so that read() finds a gap before it."""
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd, self._index, self._offset = -1, index, HEADER_BYTES

    def discard(self) -> None:
        """Delete its segments: only once all clicks are counted."""
        self._go_to(len(self._paths))
        try:
            discard(self.folder, self._files)
        finally:
            self._list()

    def close(self, *, remove: bool) -> None:
        """Release the lock. `remove` deletes the folder: only once all clicks are counted.

        Raises OSError, and keeps the lock then.
        """
        self._go_to(len(self._paths))
        if remove:
            remove_folder(self.folder, self._files)
        self._lock.release()
        self._released(self.folder.name)
