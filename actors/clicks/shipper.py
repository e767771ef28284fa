"""The shipper: copies one journal to its Redis stream in batches of whole frames, in order, none left out.

It ships only what is synced to the disk, and keeps at most a window of bytes in Redis that are not folded yet;
the journal is the buffer for the rest. The watermark in Postgres is the truth: clicks at or below it are
trimmed there, and may be deleted here after a while; clicks above that Redis lost are shipped again.

How a loss is found: `add` appends only behind the very entry that was shipped last, so a stream that was
emptied or went back to an older copy refuses the next batch; and when the watermark stands still, the shipper
reads the front of the stream. Either way the stream is reset and shipped again from the watermark. A batch that
was shipped twice is skipped by the fold, so a reset too many costs only time.

How a truth that went back is found: one read of the watermark follows another and never overtakes it, so a
lower watermark, or a row that is gone, means that Postgres has lost commits (a failover to a replica that was
behind, a restored backup). The stream may hold entries above what must come first, so it is reset, and the
journal is shipped again from the lower watermark. A journal that is wholly counted is looked at too, once in
IDLE_CHECK_S. Clicks that the journal no longer has are lost: they are counted, and it goes on behind them.

A batch whose `add` got no answer is kept and added again: the stream recognises the batch if it has it, and a
source whose front is far behind is not searched once more for each try while Redis is away.
"""

import logging
from collections import deque
from typing import Final, Protocol
from uuid import UUID

import trio

from actors.clicks.watermarks import Watermarks
from engine.clicks.batch import Batch
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger

logger = logging.getLogger("waypost.shipper")

BATCH_BYTES: Final = 256 * 1024
WATERMARK_INTERVAL_S: Final = 0.1
# As long as the stream has room for what comes meanwhile: nobody waits for the watermark then.
CALM_INTERVAL_S: Final = 0.5
CALM_SHARE: Final = 0.25
IDLE_CHECK_S: Final = 2.0
LOOK_FOR_LOSS_S: Final = 2.0

STREAM_RESETS: Final = Metric(
    "waypost_stream_resets_total",
    "Streams emptied and shipped anew from their journal's watermark",
)
ROLLBACKS: Final = Metric(
    "waypost_watermark_rollbacks_total",
    "Times that a journal's watermark went back, as Postgres had lost commits",
)
ROLLED_BACK_CLICKS: Final = Metric(
    "waypost_rolled_back_clicks_total",
    "Clicks and views whose counts Postgres had lost: shipped again, or lost",
)
LOST_CLICKS: Final = Metric(
    "waypost_rolled_back_clicks_lost_total",
    "Clicks and views whose counts Postgres had lost, and that the journal did not keep any more",
)


class Rollbacks:
    """Counts of what Postgres lost: times, clicks, and those of the clicks that no journal kept."""

    def __init__(self) -> None:
        self.times = self.clicks = self.lost = 0

    def add(self, clicks: int, lost: int) -> None:
        self.times += 1
        self.clicks += clicks
        self.lost += lost

    def samples(self) -> list[Sample]:
        return [
            ROLLBACKS.sample(self.times),
            ROLLED_BACK_CLICKS.sample(self.clicks),
            LOST_CLICKS.sample(self.lost),
        ]


class JournalSource(Protocol):
    """A journal as its shipper reads it: the active one of this edge, or an orphaned one."""

    id: UUID

    @property
    def oldest(self) -> int:
        """The first sequence that it can still read; clicks before it come as batches without a payload."""

    def read(self, after: int, max_bytes: int) -> Batch | None: ...


class Shipper:
    """Ships one source. `watermark` is its last sequence that is counted, as far as is known."""

    def __init__(
        self,
        source: JournalSource,
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
        rollbacks: "Rollbacks | None" = None,
        watermarks: Watermarks | None = None,
    ) -> None:
        """`rollbacks` counts, and `watermarks` reads, for several shippers of a process."""
        self.source = source
        self.shipped = 0
        self.watermark = 0
        self.resets = 0
        self.rollbacks = rollbacks or Rollbacks()
        self.batches = 0
        self.registered = False
        self.last_error = ""
        # The sequence that Postgres had counted before it went back; reached again, all is as it was.
        self.recover_to = 0
        # When the watermark moved last, or shipping began; and when it was read last.
        self.moved_at: float | None = None
        self.read_at = 0.0
        self._lost_until = 0
        self._stream = stream
        self._ledger = ledger
        self._watermarks = watermarks or Watermarks(ledger)
        self._window_bytes = window_bytes
        self._previous = 0
        self._read: tuple[int, Batch] | None = None
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._looked_at = 0.0
        # Postgres went back: what the stream holds does not continue the watermark.
        self._must_reset = False
        self._failures = 0
        # Two tasks that change the stream at once would each overwrite the other's record of it.
        self._one_writer = trio.Lock()
        # Two reads at once could end in the other order, and the later would seem to go back.
        self._one_reader = trio.Lock()

    @property
    def is_recovering(self) -> bool:
        """Whether clicks that Postgres had counted and lost are not counted again yet."""
        return self.watermark < self.recover_to

    @property
    def interval_s(self) -> float:
        """After how many seconds the watermark is to be read again."""
        calm = self._in_flight_bytes < CALM_SHARE * self._window_bytes
        return CALM_INTERVAL_S if calm else WATERMARK_INTERVAL_S

    async def start(self) -> None:
        """Register the journal and reset its stream, to ship from the watermark on."""
        while True:
            try:
                await self._read_watermark(register=True)
                await self._stream.reset(self.source.id)
                break
            except UnavailableError as error:
                await self._wait_backoff(error)
        self._begin_at_watermark()
        self._failures = 0
        self.registered = True

    def _begin_at_watermark(self) -> None:
        self.shipped = self.watermark
        self._previous = 0
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._must_reset = False
        self._looked_at = trio.current_time()

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
            self._looked_at = trio.current_time()
        self._previous = batch.last
        self.batches += 1
        # The watermark may have passed it while it was on its way.
        self.shipped = max(batch.last, self.watermark)
        if batch.last > self.watermark:
            self._in_flight.append((batch.last, len(batch.payload)))
            self._in_flight_bytes += len(batch.payload)
        return True

    async def _start_over(self, reason: str) -> None:
        """Empty the stream and ship again from the watermark. Hold `_one_writer`."""
        await self._read_watermark(register=True)
        await self._stream.reset(self.source.id)
        self.resets += 1
        logger.warning(
            "journal %s is shipped again from %d: %s", self.source.id.hex, self.watermark, reason,
            extra={"event": "stream_reset", "journal": self.source.id.hex},
        )  # fmt: skip
        self._begin_at_watermark()

    async def follow_watermark(self) -> bool:
        """Read the watermark once, and trim the stream. Returns whether it moved, on or back.

        While all is counted, it is read once in IDLE_CHECK_S, at the nearest multiple of its interval.
        """
        idle = self.shipped <= self.watermark and not self._in_flight and not self._must_reset
        if idle and trio.current_time() < self.read_at + IDLE_CHECK_S - CALM_INTERVAL_S / 2:
            return False
        try:
            moved = await self._read_watermark()
            if self._must_reset:
                async with self._one_writer:
                    if self._must_reset:
                        await self._start_over("Postgres went back")
            elif (
                not idle and not moved and trio.current_time() >= self._looked_at + LOOK_FOR_LOSS_S
            ):
                await self._look_for_loss()
        except UnavailableError as error:
            self.last_error = str(error)
            return False
        if moved and not idle:
            try:
                await self._stream.trim(self.source.id, self.watermark)
            except UnavailableError as error:
                self.last_error = str(error)  # the next trim takes these entries too
        return moved

    async def _read_watermark(self, *, register: bool = False) -> bool:
        """Read the watermark and note it. Returns whether it moved, on or back."""
        async with self._one_reader:
            began_at = trio.current_time()
            if register:
                watermark: int | None = await self._ledger.register(self.source.id)
            else:
                watermark = await self._watermarks.read(self.source.id)
            self.read_at = began_at
            if watermark is None:
                # The row went back to before the journal began: nothing leases it until it is registered.
                self._must_reset = True
            return self._note(watermark or 0)

    def _note(self, watermark: int) -> bool:
        if watermark == self.watermark:
            return False
        self.moved_at = self._looked_at = self.read_at
        self.last_error = ""
        if watermark < self.watermark:
            self._go_back(watermark)
            return True
        was_recovering = self.is_recovering
        self.watermark = watermark
        # Beyond what was shipped when an aggregator had read the stream before it was reset.
        self.shipped = max(self.shipped, watermark)
        while self._in_flight and self._in_flight[0][0] <= watermark:
            self._in_flight_bytes -= self._in_flight.popleft()[1]
        if was_recovering and not self.is_recovering:
            logger.warning(
                "journal %s: the clicks up to %d, whose counts Postgres had lost, are counted again",
                self.source.id.hex, self.recover_to,
                extra={"event": "watermark_recovered", "journal": self.source.id.hex},
            )  # fmt: skip
        return True

    def _go_back(self, watermark: int) -> None:
        gone = self.watermark - watermark
        # A click is lost once, however often Postgres goes back.
        lost = max(0, self.source.oldest - 1 - max(watermark, self._lost_until))
        self.rollbacks.add(gone, lost)
        self.recover_to = max(self.recover_to, self.watermark)
        logger.error(
            "journal %s: Postgres lost commits and went back from click %d to %d; %d clicks are counted again, "
            "%d are lost, as the journal does not keep them any more",
            self.source.id.hex, self.watermark, watermark, gone - lost, lost,
            extra={"event": "watermark_went_back", "journal": self.source.id.hex},
        )  # fmt: skip
        if lost:
            self._lost_until = self.source.oldest - 1
        self.watermark = watermark
        self._must_reset = True

    def give_up_rest(self) -> None:
        """Count the clicks up to `recover_to` as lost: the source is read to its end, and has none of them."""
        lost = self.recover_to - self.watermark
        self.rollbacks.lost += lost
        logger.error(
            "journal %s: Postgres lost the counts of the clicks from %d to %d, and they cannot be read "
            "any more: %d clicks are lost",
            self.source.id.hex, self.watermark + 1, self.recover_to, lost,
            extra={"event": "rolled_back_clicks_lost", "journal": self.source.id.hex},
        )  # fmt: skip
        self.recover_to = self.watermark

    async def _look_for_loss(self) -> None:
        async with self._one_writer:
            self._looked_at = trio.current_time()
            front = await self._stream.read(self.source.id, self.watermark, 1, 0)
            last = await self._stream.last(self.source.id)
            if not front or front[0].first > self.watermark + 1 or last != self._previous:
                await self._start_over("the stream lost entries that are not committed")

    async def _wait_backoff(self, error: UnavailableError) -> None:
        self._failures += 1
        self.last_error = str(error)
        await trio.sleep(backoff_s(self._failures, first_s=0.05, limit_s=1.0))

    def samples(self) -> list[Sample]:
        return [STREAM_RESETS.sample(self.resets), *self.rollbacks.samples()]
