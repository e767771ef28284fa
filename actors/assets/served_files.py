"""Files of assets that visitors ask an edge for: read from their store off the hot path, and remembered.

A file never changes, so it is remembered until its room is needed. It may be deleted, so after FRESH_S it is
read again. While the store is away, visitors get what is remembered, however old.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from engine.assets.address import AssetFile
from engine.assets.ports import AssetFiles
from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample
from engine.visits.request import ClientInfo

MAX_BYTES: Final = 64 * 1024**2
MAX_MISSING: Final = 10_000
MAX_WAITING: Final = 1_024
READERS: Final = 4
FRESH_S: Final = 600.0
RETRY_S: Final = 10.0
MISSING_S: Final = 5.0  # the card of a page may be drawn any moment
READ_LIMIT_S: Final = 5.0
# Each client's files that have to be read from the store.
READ_FOR_CLIENT: Final = Rate("assets-client", units=600, period_s=60)
MAX_CLIENTS: Final = 20_000

ASSET_FILES: Final = Metric(
    "waypost_asset_files_total",
    "Pictures' files for visitors, by result (remembered, read, missing, limited, refused, unavailable)",
    ("result",),
)
ASSET_BYTES: Final = Metric("waypost_asset_bytes", "Bytes of pictures' files in memory")

Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class _Remembered(NamedTuple):
    """A file's bytes, None for a file that does not exist, and until when they are fresh."""

    content: bytes | None
    fresh_until: float


class EdgeAssetFiles:
    """The files of one edge. Run `run` as a task; `monotonic` is the clock of freshness and of the limit."""

    def __init__(self, files: AssetFiles, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(READ_FOR_CLIENT, MAX_CLIENTS, "deny")
        self._remembered: OrderedDict[AssetFile, _Remembered] = OrderedDict()
        self._missing = 0
        self._bytes = 0
        self._waiters: dict[AssetFile, list[Any]] = {}
        self._to_read: deque[AssetFile] = deque()
        self._waiting = 0
        self._idle = trio.lowlevel.ParkingLot()
        self.results = dict.fromkeys(
            ("remembered", "read", "missing", "limited", "refused", "unavailable"), 0
        )

    def is_known(self, file: AssetFile) -> bool:
        """Return whether content() can say what the file is."""
        remembered = self._remembered.get(file)
        return remembered is not None and remembered.fresh_until > self._monotonic()

    def content(self, file: AssetFile) -> bytes | None:
        """Return the bytes of a file that is known; None if there is no such file."""
        self._remembered.move_to_end(file)
        content = self._remembered[file].content
        self.results["missing" if content is None else "remembered"] += 1
        return content

    def wait(self, waiter: Any, file: AssetFile, client: ClientInfo) -> int:
        """Have a file read; run() then delivers the waiter, and the file is known.

        Returns 0, or the status to refuse the request with: 429 after too many files, 503 while too many wait.
        """
        now_us = int(self._monotonic() * 1_000_000)
        if not self._of_client.decide(client.network, now_us).allowed:
            self.results["limited"] += 1
            return 429
        if self._waiting >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        self._waiting += 1
        waiters = self._waiters.setdefault(file, [])
        if not waiters:
            self._to_read.append(file)
        waiters.append(waiter)
        self._idle.unpark()
        return 0

    async def run(self, deliver: Deliver) -> None:
        """Read what waits, READERS files at a time, for ever."""
        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(partial(self._read_files, deliver))

    async def _read_files(self, deliver: Deliver) -> None:
        while True:
            while not self._to_read:
                await self._idle.park()
            file = self._to_read.popleft()
            available = False
            try:
                available = await self._read(file)
            finally:
                waiters = self._waiters.pop(file)
                self._waiting -= len(waiters)
            deliver([(waiters, None)], available)

    async def _read(self, file: AssetFile) -> bool:
        """Read a file into memory. Returns whether it is known by then."""
        try:
            with trio.fail_after(READ_LIMIT_S):
                content = await self._files.read(file.hash, file.name)
        except (UnavailableError, trio.TooSlowError):
            self.results["unavailable"] += 1
            stale = self._remembered.get(file)
            if stale is None:
                return False
            self._remembered[file] = stale._replace(fresh_until=self._monotonic() + RETRY_S)
            return True
        self.results["read"] += 1
        self._remember(file, content)
        return True

    def _remember(self, file: AssetFile, content: bytes | None) -> None:
        self._forget(file)
        fresh_s = MISSING_S if content is None else FRESH_S
        self._remembered[file] = _Remembered(content, self._monotonic() + fresh_s)
        self._missing += content is None
        self._bytes += len(content or b"")
        while len(self._remembered) > 1 and (
            self._bytes > MAX_BYTES or self._missing > MAX_MISSING
        ):
            self._forget(next(iter(self._remembered)))

    def _forget(self, file: AssetFile) -> None:
        remembered = self._remembered.pop(file, None)
        if remembered is not None:
            self._missing -= remembered.content is None
            self._bytes -= len(remembered.content or b"")

    def samples(self) -> list[Sample]:
        return [*ASSET_FILES.by_label(self.results), ASSET_BYTES.sample(self._bytes)]
