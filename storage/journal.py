"""The journal: what is recorded of answered requests until Postgres has committed it.

Guarantees:

- A frame is in the page cache before `append` returns True; no kill of a process can lose it then.
- It is on the disk at most `sync_ms` later; `synced` never runs ahead of the disk. Only what is synced is
  shipped, so that what Postgres has counted can never be forgotten here by a power loss.
- `append` returning False means that these clicks are not recorded; they are counted with the reason.
  Recording resumes by itself: the next frame after `_RETRY_S` tries a new segment.
- A sequence is never used twice. A journal has one writer, from its creation until that process ends; then
  it is only read (see `Recovery`), and the next process begins a journal of its own with a new id.

One journal is a folder `DIR/journals/<id>/` with a lock, held by its writer or its reader, and segments
named after their first sequence. A segment ends where the next one begins: after a failed write or sync the
writer leaves the segment as it is and begins a new one with the first sequence that is in doubt, so that a
half-written or unsyncable tail can never be read as truth.

Tried and rejected: a mapped segment appends 10 % faster at full load, but stalls for up to 13 ms under
writeback and kills the process on a full disk unless every page is allocated before.
"""

import errno
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import trio

from engine import journal_format
from engine.batch import Batch
from engine.errors import WaypostError
from engine.journal_format import HEADER_BYTES, MAX_FRAME_CLICKS, SegmentHeader
from storage.files import DiskFiles, FileLock, Files

_RETRY_S: Final = 1.0
_MAX_UNSYNCED_BYTES: Final = 64 * 1024 * 1024
LOCK_NAME: Final = "lock"
SUFFIX: Final = ".segment"


class Segment:
    """One file. `end` is how far it has been written; `last` the last sequence in it."""

    __slots__ = ("end", "fd", "first", "last", "path")

    def __init__(self, path: Path, fd: int, first: int) -> None:
        self.path = path
        self.fd = fd
        self.first = first
        self.last = first - 1
        self.end = HEADER_BYTES


class Journal:
    """The writer's side. `append` is synchronous and called from the visitors' door; `run` is a task."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        max_bytes: int,
        sync_ms: int,
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.id = uuid4()
        self.folder = folder / self.id.hex
        self.appended = 0
        self.synced = 0
        self.unrecorded: Counter[str] = Counter()
        self.failed: str | None = None
        self.sync_failures = 0
        self._segment_bytes = segment_bytes
        self._max_segments = max(2, max_bytes // segment_bytes)
        self._sync_s = sync_ms / 1000
        self._files = files or DiskFiles()
        self._clock = clock
        self._wall_us = wall_us
        self._segments: list[Segment] = []
        self._unsynced: list[bytes] = []
        self._unsynced_bytes = 0
        self._in_doubt = False
        self._retry_at = 0.0
        self._syncing = False
        self._dirty = trio.Event()
        self._news = trio.Event()
        self._lock = FileLock(self.folder / LOCK_NAME)
        self._cursor: Cursor | None = None

    def open(self) -> None:
        """Make the folder and the first segment. Raises WaypostError when the disk does not allow it."""
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            self._lock.acquire()
            self._begin_segment(1)
            self._files.sync_folder(self.folder)
            self._files.sync_folder(self.folder.parent)
        except OSError as error:
            raise WaypostError(f"cannot write the journal in {self.folder.parent}: {error}") from None

    @property
    def bytes_on_disk(self) -> int:
        return len(self._segments) * self._segment_bytes

    # ---- the hot side: synchronous -------------------------------------------------------------

    def append(self, records: list[bytes]) -> bool:
        """Write these clicks. False: they are not recorded, and counted in `unrecorded` by reason.

        `failed` says why while it lasts: "full" and "disk" as the disk said it, "limit" when the journal
        has reached its largest size, "behind" when the disk takes too long to sync.
        """
        count = len(records)
        if self.failed is not None and not self._resume():
            self.unrecorded[self.failed] += count
            return False
        first = self.appended + 1
        if count <= MAX_FRAME_CLICKS:
            data = journal_format.encode_frame(first, records)
        else:
            data = b"".join(
                journal_format.encode_frame(first + at, records[at : at + MAX_FRAME_CLICKS])
                for at in range(0, count, MAX_FRAME_CLICKS)
            )
        try:
            segment = self._segment_for(len(data))
            self._files.write(segment.fd, data, segment.end)
        except OSError as error:
            self._fail(error)
            self.unrecorded[self.failed or "disk"] += count
            return False
        segment.end += len(data)
        self.appended += count
        segment.last = self.appended
        self._unsynced.append(data)
        self._unsynced_bytes += len(data)
        self._dirty.set()
        return True

    def _segment_for(self, size: int) -> Segment:
        segment = self._segments[-1]
        if self._unsynced_bytes > _MAX_UNSYNCED_BYTES:
            raise _Refused("behind")
        if segment.end + size <= self._segment_bytes:
            return segment
        if len(self._segments) >= self._max_segments:
            raise _Refused("limit")
        return self._begin_segment(self.appended + 1)

    def _begin_segment(self, first: int) -> Segment:
        path = self.folder / f"{first:020d}{SUFFIX}"
        self._files.remove(path)
        fd = self._files.create(path, self._segment_bytes)
        header = SegmentHeader(self.id, first, self._wall_us())
        try:
            self._files.write(fd, journal_format.encode_header(header), 0)
        except OSError:
            self._files.close(fd)
            raise
        segment = Segment(path, fd, first)
        self._segments.append(segment)
        return segment

    def _fail(self, error: OSError) -> None:
        if isinstance(error, _Refused):
            self.failed = error.reason
        else:
            self.failed = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "disk"
            self._in_doubt = True
        self._retry_at = self._clock() + _RETRY_S

    def _resume(self) -> bool:
        """Whether recording goes on: the time to try again has come, and trying worked."""
        if self._clock() < self._retry_at or self._syncing:
            return False
        if self._in_doubt and not self._rewrite_unsynced():
            return False
        self.failed = None
        return True

    def _rewrite_unsynced(self) -> bool:
        """Begin a new segment with every frame whose way to the disk is in doubt."""
        try:
            while self._segments and self._segments[-1].first > self.synced:
                self._drop(self._segments.pop())
            if self._segments:
                self._segments[-1].last = self.synced
            segment = self._begin_segment(self.synced + 1)
            for data in self._unsynced:
                if segment.end + len(data) > self._segment_bytes:
                    segment = self._begin_segment(segment.last + 1)
                self._files.write(segment.fd, data, segment.end)
                segment.end += len(data)
                segment.last = list(journal_format.frames(data))[-1].last
        except OSError as error:
            self._fail(error)
            return False
        self._in_doubt = False
        self._dirty.set()
        return True

    def _drop(self, segment: Segment) -> None:
        self._files.close(segment.fd)
        self._files.remove(segment.path)

    # ---- the task: one fdatasync per group, off the loop ---------------------------------------

    async def run(self) -> None:
        """Sync every `sync_ms` while there is something to sync. Runs until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty = trio.Event()
            await self.sync()
            await trio.sleep(self._sync_s)

    async def sync(self) -> bool:
        """Bring all that was appended before this call to the disk. False when the disk refused."""
        # After a failed fdatasync the kernel may drop the pages and report success the next time:
        # what is in doubt is written again elsewhere, never merely synced again.
        if self._in_doubt and not self._resume():
            self._dirty.set()
            return False
        target, groups = self.appended, len(self._unsynced)
        if self.synced >= target:
            return True
        self._syncing = True
        try:
            fds = [segment.fd for segment in self._segments if segment.last > self.synced]
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._sync_files, fds)
        except OSError as error:
            self.sync_failures += 1
            self._fail(error)
            self._dirty.set()
            return False
        finally:
            self._syncing = False
        self._unsynced_bytes -= sum(map(len, self._unsynced[:groups]))
        del self._unsynced[:groups]
        self.synced = target
        self._news.set()
        self._news = trio.Event()
        return True

    def _sync_files(self, fds: list[int]) -> None:
        for fd in fds:
            self._files.sync(fd)
        if len(fds) > 1:
            # A new segment's name must survive too.
            self._files.sync_folder(self.folder)

    # ---- the reader's side ---------------------------------------------------------------------

    async def wait_synced(self, above: int) -> None:
        """Return when clicks above this sequence are safe on the disk."""
        while self.synced <= above:
            await self._news.wait()

    def read(self, after: int, max_bytes: int) -> Batch | None:
        """The next whole frames behind `after`, about `max_bytes`, synced ones only. May raise OSError."""
        for index, segment in enumerate(self._segments):
            last = min(self.synced, segment.last)
            if index + 1 < len(self._segments):
                last = min(last, self._segments[index + 1].first - 1)
            if segment.first <= after + 1 <= last:
                if self._cursor is None or self._cursor.segment is not segment:
                    self._cursor = Cursor(self._files, segment)
                return self._cursor.read(after, last, max_bytes)
        return None

    def forget(self, committed: int) -> None:
        """Delete the segments that Postgres' watermark has passed, except the one being written."""
        while len(self._segments) > 1 and self._segments[1].first - 1 <= committed:
            segment = self._segments.pop(0)
            try:
                self._drop(segment)
            except OSError:
                # The file stays behind; it is deleted with the folder.
                continue
            if self.failed == "limit":
                self._retry_at = 0.0

    def close(self, *, remove: bool) -> None:
        """Close everything; `remove` deletes the folder: only once all of it is committed."""
        for segment in self._segments:
            self._files.close(segment.fd)
        self._segments.clear()
        if remove:
            remove_folder(self.folder)
        self._lock.release()


class _Refused(OSError):
    """We refuse ourselves; nothing on the disk is in doubt."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def remove_folder(folder: Path) -> None:
    """Delete a journal that is wholly committed; the lock file goes last."""
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)
    (folder / LOCK_NAME).unlink(missing_ok=True)
    folder.rmdir()


class Cursor:
    """A place in one segment: the offset of the frame that starts with sequence `_next`."""

    __slots__ = ("_files", "_next", "_offset", "segment")

    def __init__(self, files: Files, segment: Segment) -> None:
        self._files = files
        self.segment = segment
        self._next = segment.first
        self._offset = HEADER_BYTES

    def read(self, after: int, last: int, max_bytes: int) -> Batch | None:
        """Whole frames behind `after` and up to `last`; None when there is none yet."""
        if after + 1 < self._next:
            self._next, self._offset = self.segment.first, HEADER_BYTES
        size = max(max_bytes, journal_format.MAX_FRAME_BYTES)
        while True:
            data = self._files.read(self.segment.fd, size, self._offset)
            start = end = 0
            first: int | None = None
            for frame in journal_format.frames(data, 0, self._next):
                if frame.last > last:
                    break
                if frame.last > after and first is None:
                    start, first = frame.start, frame.first
                end = frame.end
                self._next = frame.last + 1
            self._offset += end
            if first is not None:
                return Batch(first, self._next - 1, data[start:end])
            if end == 0:
                return None
