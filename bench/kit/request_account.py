"""Account of the sender's requests: one number for each, in a file that two processes map.

Request n goes to link n modulo the number of links. Its Referer, `https://t<n>.load.example/`, is its tag: the
engine keeps it with the raw click, so that the audit can compare counts and answers request by request. The
number stands in the host, because an engine may keep only the host of a referrer.

The file: 4,096 bytes of header (six u64: requests sent, answered and refused; connections that could not be
made; requests lost with their connection, its first one and later ones), then a u32 for each request:

    0            not sent
    1            sent; the connection ended, or the time limit passed, before the complete response
    2 … REFUSED  answered with a redirect after this many microseconds (at least 2)
    REFUSED      answered with another status, such as 503: must not be counted
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
# The file is sparse, so unused entries take no space.
CAPACITY: Final = 32 * 1024 * 1024
_HEADER_BYTES: Final = 4096
# Places in the header, of what a client sees when a server goes.
FAILED_CONNECTIONS: Final = 3
LOST_FIRST: Final = 4
LOST_LATER: Final = 5
_TAG: Final = re.compile(r"https?://t([0-9]{1,9})\.load\.example(?:/|$)")

REFERER: Final = b"Referer: https://t%d.load.example/\r\n"


def request_number(referrer: str | None) -> int | None:
    """Return the number of the request that left a raw click; None for a referrer without a tag."""
    match = _TAG.match(referrer or "")
    return int(match[1]) if match else None


class RequestAccount:
    """The mapped file. Only the load writes `entries` and `counts`; other processes read them at any time."""

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
        self.counts = view[:48].cast("Q")
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

    @property
    def failed_connections(self) -> int:
        """Connections that could not be made: refused, reset, or not open in time."""
        return self.counts[FAILED_CONNECTIONS]

    @property
    def lost_first(self) -> int:
        """Requests whose new connection ended without a response."""
        return self.counts[LOST_FIRST]

    @property
    def lost_later(self) -> int:
        """Requests on a connection that had brought a response before, and ended without another one. A
        browser repeats such a GET by itself (RFC 9112, 9.3.1)."""
        return self.counts[LOST_LATER]

    def sent_entries(self) -> list[int]:
        """Return the entries of all requests that were sent. Raises BenchError beyond CAPACITY requests."""
        if self.sent > CAPACITY:
            raise BenchError(f"more than {CAPACITY} requests were sent")
        return self.entries[: self.sent].tolist()

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies of answered requests, in ms; NaN without any."""
        latencies_us = sorted(
            entry for entry in self.sent_entries() if UNANSWERED < entry < REFUSED
        )
        if not latencies_us:
            return float("nan")
        return (
            latencies_us[min(len(latencies_us) - 1, int(len(latencies_us) * percent / 100))] / 1000
        )
