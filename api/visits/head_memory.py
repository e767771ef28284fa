"""Memory of the request heads that an edge keeps: the bounds of one head and of all connections' heads.

A head that comes in one read is answered at once, and nothing is kept of it. Kept are the bytes of a head that
is unfinished, and of heads that wait behind a request of their connection. Of one connection these are a head
and a read at most. Of all connections they are MAX_KEPT_BYTES and the reads of one wake-up (1 MiB) at most:
beyond, the server answers 503 to those whose time is over first.
"""

from typing import Final

DEFAULT_HEAD_BYTES: Final = 16 * 1024
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024


class HeadMemory:
    """Counts the bytes kept of heads, over all connections of an edge."""

    __slots__ = ("kept_bytes", "max_head_bytes", "max_kept_bytes")

    def __init__(
        self, max_head_bytes: int = DEFAULT_HEAD_BYTES, max_kept_bytes: int = MAX_KEPT_BYTES
    ) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_kept_bytes = max_kept_bytes
        self.kept_bytes = 0

    @property
    def exceeded(self) -> bool:
        return self.kept_bytes > self.max_kept_bytes
