"""Held segments: the journals of a folder, kept open while their edges go on writing and deleting them.

A backup needs every click that was recorded before its database snapshot and is above the snapshot's
watermarks. An edge deletes a segment once a later state of the database has its clicks. So segments are opened
before the snapshot and again behind it; an open file outlives its name, and nothing is left behind by a kill.

    hold()  →  snapshot  →  hold()  →  unsure(watermarks)

Between the two a segment may have been begun, counted and deleted unseen, and the snapshot may lack some of its
clicks. Segments are deleted oldest first, so there was none if the oldest one of the second look was there at
the first, or begins at the watermark. Else take another snapshot, and look again.

What is copied of a segment ends at the last byte that is not zero, as of the second look: a segment is filled
from its front, so all before this byte has been written, and a frame that was being written is a torn tail.
"""

import contextlib
import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from engine.operations.backup import BackupError
from storage.clicks.journal import SUFFIX
from storage.clicks.recovery import orphans

_BLOCK_BYTES: Final = 1024 * 1024


class JournalState(NamedTuple):
    """The watermark of a journal in a database snapshot. A retired one is wholly counted and deleted."""

    folded: int
    retired: bool


NEW: Final = JournalState(0, False)


class HeldSegment:
    """An open segment. `end` is how far it had been filled when measure() was called."""

    def __init__(self, journal_id: UUID, first: int, fd: int) -> None:
        self.journal_id = journal_id
        self.first = first
        self.end = 0
        self._fd = fd

    @property
    def inode(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def measure(self) -> None:
        """Set `end` behind the last byte that is not zero. Raises OSError."""
        end = os.fstat(self._fd).st_size
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            filled = os.pread(self._fd, end - start, start).rstrip(b"\0")
            end = start + len(filled)
            if filled:
                break
        self.end = end

    def chunks(self) -> Iterator[bytes]:
        """Yield the content up to `end`. Raises OSError."""
        for offset in range(0, self.end, _BLOCK_BYTES):
            yield os.pread(self._fd, min(_BLOCK_BYTES, self.end - offset), offset)

    def close(self) -> None:
        os.close(self._fd)


class HeldSegments:
    """The segments of the journals below `folder`, which need not exist. Raises BackupError or OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: dict[UUID, dict[int, HeldSegment]] = {}
        self._before: dict[UUID, set[int]] = {}
        self._now: dict[UUID, set[int]] = {}
        _allow_many_files()

    def close(self) -> None:
        for segments in self._segments.values():
            for segment in segments.values():
                segment.close()
        self._segments.clear()

    def hold(self) -> None:
        """Open all segments that are there. A segment that was replaced under its name is opened anew."""
        self._before, self._now = self._now, {}
        for journal in orphans(self._folder):
            journal_id = UUID(hex=journal.name)
            self._now[journal_id] = set()
            for path in sorted(journal.glob(f"*{SUFFIX}")):
                if path.stem.isdigit() and self._open(journal_id, int(path.stem), path):
                    self._now[journal_id].add(int(path.stem))
        for segments in self._segments.values():
            for segment in segments.values():
                segment.measure()

    def _open(self, journal_id: UUID, first: int, path: Path) -> bool:
        try:
            segment = HeldSegment(journal_id, first, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return False  # counted and deleted meanwhile
        except OSError as error:
            raise BackupError(f"the journal {path} cannot be read: {error.strerror}") from None
        segments = self._segments.setdefault(journal_id, {})
        held = segments.get(first)
        if held is not None and held.inode == segment.inode:
            segment.close()
            return True
        if held is not None:
            held.close()
        segments[first] = segment
        return True

    def unsure(self, states: Mapping[UUID, JournalState]) -> list[UUID]:
        """Return the journals of which a segment may have come and gone between the two looks."""
        return [
            journal_id
            for journal_id in sorted(self._before.keys() | self._now.keys())
            if not self._is_whole(journal_id, states.get(journal_id, NEW))
        ]

    def _is_whole(self, journal_id: UUID, state: JournalState) -> bool:
        before, now = self._before.get(journal_id, set()), self._now.get(journal_id, set())
        if state.retired or not (before or now):
            return True
        return bool(now) and (min(now) in before or min(now) <= state.folded + 1)

    def needed(self, states: Mapping[UUID, JournalState]) -> list[HeldSegment]:
        """Return the segments that may hold clicks above the watermarks, in order.

        None of a retired journal: its row goes a day later, and its clicks would then count as new.
        """
        segments: list[HeldSegment] = []
        for journal_id, by_first in sorted(self._segments.items()):
            state = states.get(journal_id, NEW)
            if state.retired:
                continue
            firsts = sorted(by_first)
            segments += [
                by_first[first]
                for first, following in zip(firsts, [*firsts[1:], None], strict=True)
                if following is None or following - 1 > state.folded
            ]
        return segments


def _allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
