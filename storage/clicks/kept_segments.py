"""Segments of a journal whose clicks are counted, kept for a while: Postgres may lose what it has committed.

After a failover to a replica that was behind, or a backup that was restored, the journal's watermark goes back,
and the clicks above it are shipped again from these segments. They are kept for `kept_s` after the first sight
of a watermark above them, and at most `max_bytes` of them: the oldest go first. On a full disk they make room
for new clicks.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from storage.clicks.segment import Segment
from storage.file_system import FileSystem


class KeptSegments:
    """The counted segments of one journal, oldest first. `dropped` counts those deleted before their time."""

    def __init__(
        self,
        files: FileSystem,
        clock: Callable[[], float],
        *,
        segment_bytes: int,
        kept_s: float,
        max_bytes: int,
    ) -> None:
        self.dropped = 0
        self._files = files
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._kept_s = kept_s
        self._max_bytes = max_bytes
        # With the time from which on each is kept.
        self._segments: deque[tuple[float, Segment]] = deque()

    def __iter__(self) -> Iterator[Segment]:
        return (segment for _, segment in self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def bytes_on_disk(self) -> int:
        return len(self._segments) * self._segment_bytes

    def add(self, segment: Segment) -> None:
        """Keep a segment from now on; it follows those that are kept already."""
        self._segments.append((self._clock(), segment))

    def take_back(self, watermark: int, behind: int) -> list[Segment]:
        """Remove and return the segments with clicks above the watermark. `behind` is the first sequence
        after all of them."""
        above: deque[Segment] = deque()
        while self._segments and behind - 1 > watermark:
            above.appendleft(self._segments.pop()[1])
            behind = above[0].first
        return list(above)

    def take_all(self) -> list[Segment]:
        """Remove and return all segments."""
        segments = list(self)
        self._segments.clear()
        return segments

    def expire(self, seen_s_ago: float) -> None:
        """Delete segments that Postgres still had `kept_s` after they were added, and those over the bound."""
        seen_at = self._clock() - (seen_s_ago if self._kept_s else 0.0)
        while self._segments and self._segments[0][0] + self._kept_s <= seen_at:
            self._delete_oldest(self._files.remove_later)
        while self._segments and self.bytes_on_disk > self._max_bytes:
            self._delete_oldest(self._files.remove_later)
            self.dropped += 1

    def drop_oldest(self) -> bool:
        """Delete the oldest segment before its time, for its space. Returns False when none is kept."""
        if not self._segments:
            return False
        self._delete_oldest(self._files.remove)
        self.dropped += 1
        return True

    def _delete_oldest(self, remove: Callable[[Path], None]) -> None:
        _, segment = self._segments.popleft()
        with contextlib.suppress(OSError):
            self._files.close(segment.fd)
        with contextlib.suppress(OSError):
            # On an error the file stays behind, and is deleted with the folder.
            remove(segment.path)
