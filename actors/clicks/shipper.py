"""The shipper: copies one journal to its Redis stream in batches of whole frames, in order, none left out.

It ships only what is synced to the disk, and keeps at most a window of bytes in Redis that are not folded yet;
the journal is the buffer for the rest. The watermarks in Postgres are the truth: clicks at or below both are
deleted here and trimmed there; clicks above that Redis lost are shipped again. The dimension counts follow the
fold by a bounded number of clicks (actors/stats/dimension_counter.py), so the stream is bounded too.

How a loss is found: `add` appends only behind the very entry that was shipped last, so a stream that was
emptied or went back to an older copy refuses the next batch; and when the watermark stands still, the shipper
reads the front of the stream. Either way the stream is reset and shipped again from the watermark. A batch that
was shipped twice is skipped by the fold, so a reset too many costs only time.

A batch whose `add` got no answer is kept and added again: the stream recognises the batch if it has it, and a
source whose front is far behind is not searched once more for each try while Redis is away.
"""

import logging
from collections import deque
from typing import Final, Protocol
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger, JournalWatermarks

logger = logging.getLogger("waypost.shipper")

BATCH_BYTES: Final = 256 * 1024
WATERMARK_INTERVAL_S: Final = 0.1
STALL_S: Final = 2.0

STREAM_RESETS: Final = Metric(
    "waypost_stream_resets_total",
    "Streams emptied and shipped anew from their journal's watermark",
)


class JournalSource(Protocol):
    """A journal as its shipper reads it: the active one of this edge, or an orphaned one."""

    id: UUID

    def read(self, after: int, max_bytes: int) -> Batch | None: ...


class Shipper:
    """Ships one source. `appended` is the highest sequence known to be in it."""

    def __init__(
        self,
        source: JournalSource,
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
    ) -> None:
        self.source = source
        self.shipped = 0
        self.committed = 0
        self.folded = 0
        self.resets = 0
        self.batches = 0
        self.registered = False
        self.last_error = ""
        self._stream = stream
        self._ledger = ledger
        self._window_bytes = window_bytes
        self._previous = 0
        self._read: tuple[int, Batch] | None = None
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._moved_at = 0.0
        self._failures = 0
        # Two tasks that change the stream at once would each overwrite the other's record of it.
        self._one_writer = trio.Lock()

    async def start(self) -> None:
        """Register the journal and reset its stream, to ship from the watermark on."""
        while True:
            try:
                self.committed = await self._ledger.register(self.source.id)
                await self._stream.reset(self.source.id)
                break
            except UnavailableError as error:
                await self._wait_backoff(error)
        self._begin_at_watermark()
        self._failures = 0
        self.registered = True

    def _begin_at_watermark(self) -> None:
        self.shipped = self.committed
        self.folded = max(self.folded, self.committed)
        self._previous = 0
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._moved_at = trio.current_time()

    async def ship_ready(self) -> bool:
        """Ship the batches that can be read and fit the window. Returns whether any was shipped."""
        shipped = False
        while True:
            try:
                async with self._one_writer:
                    if not await self._ship_next():
                        return shipped
            except UnavailableError as error:
                await self._wait_backoff(error)
                continue
            self._failures = 0
            shipped = True

    async def _ship_next(self) -> bool:
        """Ship one batch. Returns False when none can be read, or the window is full."""
        if self._in_flight_bytes >= self._window_bytes:
            return False
        batch = self._next_batch()
        if batch is None:
            return False
        if not await self._add(batch):
            await self._start_over("the stream has other entries than were shipped")
        return True

    def _next_batch(self) -> Batch | None:
        if self._read is None or self._read[0] != self.shipped:
            batch = self.source.read(self.shipped, BATCH_BYTES)
            if batch is None:
                return None
            self._read = self.shipped, batch
        return self._read[1]

    async def _add(self, batch: Batch) -> bool:
        if not await self._stream.add(self.source.id, self._previous, batch):
            return False
        if not self._in_flight:
            self._moved_at = trio.current_time()
        self._previous = batch.last
        self.batches += 1
        # The watermark may have passed it while it was on its way.
        self.shipped = max(batch.last, self.committed)
        if batch.last > self.folded:
            self._in_flight.append((batch.last, len(batch.payload)))
            self._in_flight_bytes += len(batch.payload)
        return True

    async def _start_over(self, reason: str) -> None:
        self.resets += 1
        logger.warning(
            "journal %s is shipped again from %d: %s", self.source.id.hex, self.committed, reason,
            extra={"event": "stream_reset", "journal": self.source.id.hex},
        )  # fmt: skip
        watermark = await self._ledger.watermarks(self.source.id)
        # follow_watermark() may have seen a later one by now, and have had the segments below it deleted.
        self.committed = max(self.committed, watermark.fully_counted)
        await self._stream.reset(self.source.id)
        self._begin_at_watermark()

    async def follow_watermark(self) -> bool:
        """Read the watermarks once, and trim the stream. Returns whether a watermark moved."""
        if self.shipped <= self.committed and not self._in_flight:
            return False
        try:
            watermark = await self._ledger.watermarks(self.source.id)
            moved = self._advance(watermark)
            if not moved and trio.current_time() >= self._moved_at + STALL_S:
                await self._look_for_loss()
        except UnavailableError as error:
            self.last_error = str(error)
            return False
        if moved and watermark.fully_counted == self.committed:
            try:
                await self._stream.trim(self.source.id, self.committed)
            except UnavailableError as error:
                self.last_error = str(error)  # the next trim takes these entries too
        return moved

    def _advance(self, watermark: JournalWatermarks) -> bool:
        """Note the watermarks. Returns whether one of them moved."""
        committed, folded = watermark
        if committed <= self.committed and folded <= self.folded:
            return False
        self._moved_at = trio.current_time()
        self.committed = max(self.committed, committed)
        self.folded = max(self.folded, folded)
        # Beyond what was shipped when an aggregator had read the stream before it was reset.
        self.shipped = max(self.shipped, self.committed)
        while self._in_flight and self._in_flight[0][0] <= self.folded:
            self._in_flight_bytes -= self._in_flight.popleft()[1]
        return True

    async def _look_for_loss(self) -> None:
        async with self._one_writer:
            self._moved_at = trio.current_time()
            front = await self._stream.read(self.source.id, self.committed, 1, 0)
            last = await self._stream.last(self.source.id)
            if not front or front[0].first > self.committed + 1 or last != self._previous:
                await self._start_over("the stream lost entries that are not committed")

    async def _wait_backoff(self, error: UnavailableError) -> None:
        self._failures += 1
        self.last_error = str(error)
        await trio.sleep(backoff_s(self._failures, first_s=0.05, limit_s=1.0))

    def samples(self) -> list[Sample]:
        return [STREAM_RESETS.sample(self.resets)]
