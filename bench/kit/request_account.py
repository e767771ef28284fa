"""The sender's own account of its requests: one number for each, in a file that two processes map.

Request n goes to link n modulo the number of links. Its tag is its Referer, `https://t<n>.load.example/`,
which the engine keeps with the raw click: so what was counted can be held against what was answered,
request by request, as sets and not as sums. The number stands in the host, so that a build that keeps a
referrer's host alone is measured as well.

The file: 4,096 bytes of header (three u64: sent, answered, refused), then a u32 for each request:

    0            not sent
    1            sent, and the connection ended, or time did, before the whole answer was there
    2 … REFUSED  answered with a redirect, after this many microseconds (at least 2)
    REFUSED      answered with something else, such as 503: must not be counted
"""

import mmap
import os
import re
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError

UNSENT: Final = 0
UNANSWERED: Final = 1
LEAST_US: Final = 2
REFUSED: Final = 0xFFFF_FFFF
# Sparse: what is never sent takes no room.
CAPACITY: Final = 32 * 1024 * 1024
_HEADER_BYTES: Final = 4096
_TAG: Final = re.compile(r"https?://t([0-9]{1,9})\.load\.example(?:/|$)")

REFERER: Final = b"Referer: https://t%d.load.example/\r\n"


def number(referrer: str | None) -> int | None:
    """The request that a raw click came from; None when it is none of ours."""
    found = _TAG.match(referrer or "")
    return int(found[1]) if found else None


class RequestAccount:
    """The file, mapped. The load writes `entries` and `counts`, others may read them at any time."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        flags = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if make else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if make:
                os.ftruncate(descriptor, _HEADER_BYTES + 4 * CAPACITY)
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        view = memoryview(self._map)
        self.counts = view[:24].cast("Q")
        self.entries = view[_HEADER_BYTES:].cast("I")

    @property
    def sent(self) -> int:
        return self.counts[0]

    @property
    def answered(self) -> int:
        return self.counts[1]

    @property
    def refused(self) -> int:
        return self.counts[2]

    def all(self) -> list[int]:
        """Of each request that was sent, what became of it."""
        if self.sent > CAPACITY:
            raise BenchError(f"more than {CAPACITY} requests were sent")
        return self.entries[: self.sent].tolist()

    def percentile_ms(self, percent: float) -> float:
        """Of the answered requests' latencies; NaN when there are none."""
        found = sorted(one for one in self.all() if UNANSWERED < one < REFUSED)
        if not found:
            return float("nan")
        return found[min(len(found) - 1, int(len(found) * percent / 100))] / 1000
