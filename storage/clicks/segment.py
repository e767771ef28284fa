"""A segment of a journal that is written here, and the place in it where reading goes on."""

from pathlib import Path

from engine.clicks import journal_format
from engine.clicks.batch import Batch
from engine.clicks.journal_format import HEADER_BYTES
from storage.file_system import FileSystem


class Segment:
    """A segment's file. `end` is how far it has been written; `last` the last sequence in it; `begun` when, by
    the journal's clock."""

    __slots__ = ("begun", "end", "fd", "first", "last", "path")

    def __init__(self, path: Path, fd: int, first: int, begun: float) -> None:
        self.path = path
        self.fd = fd
        self.first = first
        self.begun = begun
        self.last = first - 1
        self.end = HEADER_BYTES


class SegmentCursor:
    """A place in one segment: the offset of the frame that starts with sequence `_next`."""

    __slots__ = ("_files", "_next", "_offset", "segment")

    def __init__(self, files: FileSystem, segment: Segment) -> None:
        self._files = files
        self.segment = segment
        self._next = segment.first
        self._offset = HEADER_BYTES

    def read(self, after: int, last: int, max_bytes: int) -> Batch | None:
        """Return whole frames above `after` and up to `last`; None when there is none yet."""
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
