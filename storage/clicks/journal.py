"""The journal: an edge's write-ahead log of records, kept until Postgres has committed them.

Guarantees:

- A frame is in the page cache before `append` returns True; no kill of a process can lose it then.
- It is on the disk at most `sync_ms` later; `synced` never runs ahead of the disk. Only synced records
  are shipped, so that a power loss here can never forget a click that Postgres has counted.
- `append` returning False means that these clicks are not recorded; they are counted with the reason.
  Recording resumes by itself: after `_RETRY_S` the next frame, or the next sync, tries a new segment.
- A sequence is never used twice. A journal has one writer, from its creation until that process ends; then
  it is only read (see `OrphanReader`), and the next process begins a journal of its own with a new id.

One journal is a folder `DIR/journals/<id>/` with a lock, held by its writer or its reader, and segments
named after their first sequence. A segment ends where the next one begins: after a failed write or sync the
writer leaves the synced part as it is and writes what is in doubt again, into new files, so that a
half-written or unsyncable tail can never be read as truth. A file gets its segment's name only when all that it
must hold is in it, and the new segments begin where the old ones did: at any moment what the names lead to
holds every recorded click, so that a kill in the middle costs nothing.

Tried and rejected: a mapped segment appends 10 % faster at full load, but stalls for up to 13 ms under
writeback and kills the process on a full disk unless every page is allocated before.
"""

import contextlib
import errno
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import trio

from engine.clicks import journal_format
from engine.clicks.batch import Batch
from engine.clicks.journal_format import HEADER_BYTES, SegmentHeader
from engine.common.errors import WaypostError
from storage.clicks.kept_segments import KeptSegments
from storage.clicks.segment import Segment, SegmentCursor
from storage.file_system import DiskFileSystem, FileLock, FileSystem

_RETRY_S: Final = 1.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MAX_UNSYNCED_BYTES: Final = 64 * 1024 * 1024
LOCK_NAME: Final = "lock"
SUFFIX: Final = ".segment"
NEW_SUFFIX: Final = ".new"


class Journal:
    """The writer's side. append() is synchronous and called by the visitor server; run() is a task."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        max_bytes: int,
        sync_ms: int,
        kept_ms: int = 0,
        kept_bytes: int = 0,
        files: FileSystem | None = None,
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
        self._files = files or DiskFileSystem()
        self._clock = clock
        self._wall_us = wall_us
        self._segments: list[Segment] = []
        self.kept = KeptSegments(
            self._files,
            clock,
            segment_bytes=segment_bytes,
            kept_s=kept_ms / 1000,
            max_bytes=kept_bytes,
        )
        self._unsynced: list[bytes] = []
        self._unsynced_bytes = 0
        self._in_doubt = False
        self._lacking = False
        self._unfinished_segment: Path | None = None
        self._retry_at = 0.0
        self._syncing = False
        self._names_synced = False
        self._one_sync = trio.Lock()
        self._dirty = trio.Event()
        self._appended = trio.Event()
        self._lock = FileLock(self.folder.with_suffix(NEW_SUFFIX) / LOCK_NAME)
        self._cursor: SegmentCursor | None = None

    def open(self) -> None:
        """Create the folder and the first segment. Raises WaypostError when the disk does not allow it."""
        new = self.folder.with_suffix(NEW_SUFFIX)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.mkdir(mode=0o700)
            self._lock.acquire()
            # It gets its name only when it is locked, so that no process takes it for a dead writer's.
            new.rename(self.folder)
            self._begin_segment(1)
            self._names_synced = True
            for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                self._files.sync_folder(folder)
        except OSError as error:
            raise WaypostError(
                f"cannot write the journal in {self.folder.parent}: {error}"
            ) from None

    @property
    def bytes_on_disk(self) -> int:
        return len(self._segments) * self._segment_bytes + self.kept.bytes_on_disk

    @property
    def oldest(self) -> int:
        """The first sequence that it can still read, or would have next."""
        segments = [*self.kept, *self._segments]
        return segments[0].first if segments else self.appended + 1

    # ---- the hot side: synchronous -------------------------------------------------------------

    def append(self, records: list[bytes]) -> bool:
        """Write these records. Returns False when they are not recorded; `unrecorded` counts them by reason.

        `failed` says why while it lasts: "full" and "disk" as the disk said it, "limit" when the journal
        has reached its largest size, "behind" when the disk takes too long to sync.
        """
        return self.append_frame(
            len(records), journal_format.encode_frames(self.appended + 1, records)
        )

    def append_frame(self, count: int, data: bytes) -> bool:
        """Write whole frames of the next `count` records, as append() does; they start behind `appended`."""
        if self.failed is not None and not self._resume():
            self.unrecorded[self.failed] += count
            return False
        try:
            segment = self._segment_for(len(data))
            self._files.write(segment.fd, data, segment.end)
        except OSError as error:
            self._fail(error)
            self._zero_failed_write(len(data))
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
            raise _AppendRefusedError("behind")
        if segment.end + size <= self._segment_bytes or self._takes(segment, size):
            return segment
        if len(self._segments) >= self._max_segments:
            raise _AppendRefusedError("limit")
        return self._begin_segment(self.appended + 1)

    def _takes(self, segment: Segment, size: int) -> bool:
        """Return whether the append fits. Any segment takes one append, however large: no two segments may
        begin with the same sequence."""
        return segment.end + size <= self._segment_bytes or segment.end == HEADER_BYTES

    def _begin_segment(self, first: int) -> Segment:
        try:
            segment = self._write_segment(first, [])
        except OSError as error:
            # The other segments are as good as they were: they are synced and shipped meanwhile.
            self._lacking = True
            raise _SegmentNotCreatedError(error.errno, error.strerror) from error
        self._lacking = False
        self._unfinished_segment = segment.path
        self._name_segment(segment)
        self._unfinished_segment = None
        self._segments.append(segment)
        return segment

    def seal(self, older_than_s: float) -> None:
        """Go on in a new segment if the one being written has clicks and is older than this.

        However few visitors come, counted clicks then leave the disk by forget() within that time. A disk
        without room for one more segment is no failure: the one being written has room.
        """
        segment = self._segments[-1]
        if (
            self.failed is not None
            or segment.end == HEADER_BYTES
            or len(self._segments) >= self._max_segments
            or self._clock() - segment.begun <= older_than_s
        ):
            return
        try:
            self._begin_segment(self.appended + 1)
        except _SegmentNotCreatedError:
            self._lacking = False
        except OSError as error:
            self._fail(error)

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}{SUFFIX}"

    def _make_segment(self, first: int, frames: list[bytes]) -> Segment:
        """Write a segment of these frames; it replaces a file of the same name."""
        segment = self._write_segment(first, frames)
        self._name_segment(segment)
        return segment

    def _write_segment(self, first: int, frames: list[bytes]) -> Segment:
        path = self._path(first)
        new = path.with_suffix(NEW_SUFFIX)
        self._files.remove(new)
        segment = Segment(path, self._create(new), first, self._clock())
        header = SegmentHeader(self.id, first, self._wall_us())
        try:
            self._files.write(segment.fd, journal_format.encode_header(header), 0)
            for data in frames:
                self._files.write(segment.fd, data, segment.end)
                segment.end += len(data)
                segment.last = _last(data)
        except OSError:
            self._files.close(segment.fd)
            raise
        return segment

    def _create(self, path: Path) -> int:
        """Create a segment's file. On a full disk, kept segments make room for it."""
        while True:
            try:
                return self._files.create(path, self._segment_bytes)
            except OSError as error:
                if error.errno not in _FULL or not self.kept.drop_oldest():
                    raise

    def _name_segment(self, segment: Segment) -> None:
        self._names_synced = False
        try:
            self._files.rename(segment.path.with_suffix(NEW_SUFFIX), segment.path)
        except OSError:
            self._files.close(segment.fd)
            raise

    def _fail(self, error: OSError) -> None:
        if isinstance(error, _AppendRefusedError):
            self.failed = error.reason
        else:
            self.failed = "full" if error.errno in _FULL else "disk"
            self._in_doubt = self._in_doubt or not isinstance(error, _SegmentNotCreatedError)
        self._retry_at = self._clock() + _RETRY_S
        # The task tries again even if no visitor comes, as it may be for this failure that none do.
        self._dirty.set()

    def _zero_failed_write(self, size: int) -> None:
        """Overwrite with zeros the bytes that a failed write may have left: its clicks count as not recorded.

        If this fails too, a process that ends before recording resumes may leave them to be found.
        """
        segment = self._segments[-1]
        if self._takes(segment, size):
            with contextlib.suppress(OSError):
                self._files.write(segment.fd, bytes(size), segment.end)

    def _resume(self) -> bool:
        """Try to record again if it is time to. Returns whether recording goes on."""
        if self._clock() < self._retry_at or self._syncing:
            return False
        if self._in_doubt and not self._rewrite_unsynced():
            return False
        if self._lacking and not self._begin_missing_segment():
            return False
        self.failed = None
        return True

    def _begin_missing_segment(self) -> bool:
        """Begin the segment that could not be begun, before any visitor needs it. Returns whether it worked."""
        try:
            self._begin_segment(self.appended + 1)
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _rewrite_unsynced(self) -> bool:
        """Write every frame that may not be on the disk into new segments. Returns whether it worked."""
        kept = [segment for segment in self._segments if segment.first <= self.synced]
        doubtful = self._segments[len(kept) :]
        made: list[Segment] = []
        try:
            if self._unfinished_segment is not None:
                # Left by a failed rename, it would end the segment that goes on beyond its name.
                self._files.remove(self._unfinished_segment)
                self._unfinished_segment, self._names_synced = None, False
            firsts = [segment.first for segment in doubtful]
            if not firsts or firsts[0] > self.synced + 1:
                # One segment more than there were: beyond the limit, but for the first of them.
                if len(self._segments) > self._max_segments:
                    raise _AppendRefusedError("limit")
                firsts.insert(0, self.synced + 1)
            written = [(_last(data), data) for data in self._unsynced]
            for first, behind in zip(firsts, [*firsts[1:], self.appended + 1], strict=True):
                frames = [data for last, data in written if first <= last < behind]
                made.append(self._make_segment(first, frames))
        except OSError as error:
            # The new segments hold nothing but frames in doubt: they may stand until replaced.
            self._close(made)
            self._fail(error)
            return False
        self._close(doubtful)
        if kept:
            kept[-1].last = self.synced
        self._segments = kept + made
        self._in_doubt = self._lacking = False
        self._dirty.set()
        return True

    def _close(self, segments: list[Segment]) -> None:
        for segment in segments:
            with contextlib.suppress(OSError):
                self._files.close(segment.fd)

    # ---- the task: one fdatasync per group, off the loop ---------------------------------------

    async def run(self) -> None:
        """Sync every `sync_ms` while there is something to sync. Runs until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty = trio.Event()
            await self.sync()
            await trio.sleep(self._sync_s)

    async def sync(self) -> bool:
        """Bring all that was appended before this call to the disk. Returns False when the disk refused."""
        async with self._one_sync:
            return await self._sync()

    async def _sync(self) -> bool:
        # After a failed fdatasync the kernel may drop the pages and report success the next time:
        # frames in doubt are written again elsewhere, never merely synced again.
        if (self._in_doubt or self._lacking) and not self._resume():
            self._dirty.set()
            if self._in_doubt:
                return False
        target, groups = self.appended, len(self._unsynced)
        # The name of a new segment ends the one before it, whatever a failed write has left there.
        if self.synced >= target and self._names_synced:
            return True
        fds = [segment.fd for segment in self._segments if segment.last > self.synced]
        names, self._names_synced = not self._names_synced, True
        self._syncing = True
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._sync_files, fds, names)
        except OSError as error:
            self._names_synced = self._names_synced and not names
            self.sync_failures += 1
            self._fail(error)
            return False
        finally:
            self._syncing = False
        self._unsynced_bytes -= sum(map(len, self._unsynced[:groups]))
        del self._unsynced[:groups]
        self.synced = target
        if self.failed == "behind":
            self.failed = None
        self._appended.set()
        self._appended = trio.Event()
        return True

    def _sync_files(self, fds: list[int], names: bool) -> None:
        for fd in fds:
            self._files.sync(fd)
        if names:
            # A new segment's name must survive too.
            self._files.sync_folder(self.folder)

    # ---- the reader's side ---------------------------------------------------------------------

    async def wait_synced(self, above: int) -> None:
        """Return when clicks above this sequence are safe on the disk."""
        while self.synced <= above:
            await self._appended.wait()

    def read(self, after: int, max_bytes: int) -> Batch | None:
        """Return the next whole synced frames above `after`, about `max_bytes`; None if there are none.

        Clicks whose segments are deleted come as a batch without a payload: only Postgres had them, and
        has lost them. Raises OSError.
        """
        if after + 1 < self.oldest:
            return Batch(after + 1, self.oldest - 1, b"")
        segments = [*self.kept, *self._segments]
        for index, segment in enumerate(segments):
            last = min(self.synced, segment.last)
            if index + 1 < len(segments):
                last = min(last, segments[index + 1].first - 1)
            if segment.first <= after + 1 <= last:
                if self._cursor is None or self._cursor.segment is not segment:
                    self._cursor = SegmentCursor(self._files, segment)
                return self._cursor.read(after, last, max_bytes)
        return None

    def forget(self, committed: int, seen_s_ago: float = 0.0) -> None:
        """Keep the segments at or below this watermark, except the one being written, for `kept_ms` more.

        Postgres was seen at the watermark `seen_s_ago` seconds ago: while it is away, nobody knows what it
        still has. A watermark that went back returns kept segments to those that are not counted.
        """
        behind = self._segments[0].first if self._segments else self.appended + 1
        self._segments[:0] = self.kept.take_back(committed, behind)
        while len(self._segments) > 1 and self._segments[1].first - 1 <= committed:
            self.kept.add(self._segments.pop(0))
            if self.failed == "limit":
                self._retry_at = 0.0
                if not self._in_doubt:
                    self.failed = None
        self.kept.expire(seen_s_ago)

    def discard(self) -> None:
        """Delete its segments: only once all clicks are counted, and nothing is written any more."""
        self._close_all()
        discard(self.folder, self._files)

    def _close_all(self) -> None:
        self._close([*self.kept.take_all(), *self._segments])
        self._segments.clear()

    def close(self, *, remove: bool) -> None:
        """Close everything. `remove` deletes the folder: only once all clicks are counted."""
        self._close_all()
        try:
            if remove:
                remove_folder(self.folder, self._files)
        finally:
            self._lock.release()


class _SegmentNotCreatedError(OSError):
    """A new segment could not be written; nothing that is recorded is in doubt."""


class _AppendRefusedError(OSError):
    """The journal itself refuses an append; nothing on the disk is in doubt."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _last(data: bytes) -> int:
    """Return the last sequence in whole frames."""
    return list(journal_format.frames(data))[-1].last


def discard(folder: Path, files: FileSystem) -> None:
    """Delete the segments of a journal that is wholly counted, durably.

    The folder stays until the journal's row is retired: an edge that adopts it empty does that.
    """
    for suffix in (SUFFIX, NEW_SUFFIX):
        for path in sorted(folder.glob(f"*{suffix}")):
            files.remove_later(path)
    files.sync_folder(folder)


def remove_folder(folder: Path, files: FileSystem) -> None:
    """Delete a journal that is wholly counted; the lock file goes last."""
    if not folder.is_dir():
        return
    discard(folder, files)
    (folder / LOCK_NAME).unlink(missing_ok=True)
    folder.rmdir()
