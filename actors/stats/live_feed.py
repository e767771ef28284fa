"""The live feed of the workers: clicks of the latest folds, for profiles with live subscribers.

It notices a new subscription within POLL_S, and then publishes that profile's clicks of the last RECENT_S too,
so that a stream has all clicks from the moment it opens. Without subscribers, a fold's batches are kept for
that time and not looked at. It never keeps a fold waiting: updates that it cannot take are dropped, and counted
in a metric. The stored counts have their clicks anyway.
"""

import contextlib
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

import trio

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.continuation import BatchSlice, batches_after
from engine.clicks.journal_format import clicks
from engine.clicks.record_layout import FormatError
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.live import LiveUpdate, live_update
from engine.stats.ports import LiveChannel

POLL_S: Final = 1.0
MAX_WAITING: Final = 64
RECENT_S: Final = (
    3.0  # what a profile's first subscriber may have missed: POLL_S, and what announcing takes
)
MAX_RECENT_BYTES: Final = 16 * 1024 * 1024

PUBLISHED: Final = Metric("waypost_live_published_total", "Live updates published to consoles")
DROPPED: Final = Metric(
    "waypost_live_dropped_total",
    "Live updates dropped because too many waited, Redis did not answer or a batch was unreadable",
)


class LiveFeed:
    """The feed. Run it under a supervisor."""

    def __init__(self, channel: LiveChannel) -> None:
        self._channel = channel
        self._subscribed: frozenset[int] = frozenset()
        self._waiting: deque[BatchSlice] = deque()
        self._recent = _RecentBatches()
        self._arrived = trio.Event()
        self.published = 0
        self.dropped = 0

    def committed(self, sequence: int, batches: Sequence[Batch]) -> None:
        """Take batches of a journal that were just folded, of clicks above `sequence`. Never waits, never
        raises."""
        for slice_ in batches_after(sequence, batches):
            if not self._subscribed:
                self._recent.add(slice_)
            elif len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
            else:
                self._waiting.append(slice_)
        self._arrived.set()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._refresh_subscribed)
            while True:
                while not self._waiting:
                    self._arrived = trio.Event()
                    await self._arrived.wait()
                slice_ = self._waiting.popleft()
                self._recent.add(slice_)
                await self._publish(slice_, self._subscribed)

    async def _refresh_subscribed(self) -> None:
        while True:
            # While Redis is away, the same profiles are kept: they have had what is recent.
            with contextlib.suppress(UnavailableError):
                subscribed = await self._channel.subscribed_profiles()
                added, self._subscribed = subscribed - self._subscribed, subscribed
                for slice_ in self._recent.slices() if added else ():
                    await self._publish(slice_, added)
            await trio.sleep(POLL_S)

    async def _publish(self, slice_: BatchSlice, profiles: frozenset[int]) -> None:
        """Publish the clicks of these profiles."""
        by_profile: dict[int, list[Click]] = defaultdict(list)
        try:
            for click in clicks(slice_.batch.payload, slice_.after):
                if click.profile_id in profiles:
                    by_profile[click.profile_id].append(click)
        except FormatError:  # the fold was committed all the same
            self.dropped += 1
        await trio.lowlevel.checkpoint()
        updates: list[LiveUpdate] = []
        for profile_id, profile_clicks in by_profile.items():
            if (update := live_update(profile_id, profile_clicks)) is not None:
                updates.append(update)
        try:
            await self._channel.publish(updates)
            self.published += len(updates)
        except UnavailableError:
            self.dropped += len(updates)

    def samples(self) -> list[Sample]:
        return [PUBLISHED.sample(self.published), DROPPED.sample(self.dropped)]


class _RecentBatches:
    """The batches of the last RECENT_S, up to MAX_RECENT_BYTES of them."""

    def __init__(self) -> None:
        self._slices: deque[tuple[float, BatchSlice]] = deque()
        self._bytes = 0

    def add(self, slice_: BatchSlice) -> None:
        self._slices.append((trio.current_time(), slice_))
        self._bytes += len(slice_.batch.payload)
        self._forget()

    def slices(self) -> list[BatchSlice]:
        self._forget()
        return [slice_ for _, slice_ in self._slices]

    def _forget(self) -> None:
        since = trio.current_time() - RECENT_S
        while self._slices and (self._slices[0][0] < since or self._bytes > MAX_RECENT_BYTES):
            self._bytes -= len(self._slices.popleft()[1].batch.payload)
