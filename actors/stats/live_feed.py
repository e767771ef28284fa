"""The live feed of the workers: clicks of the latest folds, for profiles with live subscribers.

Without subscribers, it costs a fold one look at an empty set. It never keeps a fold waiting: updates that
it cannot take are dropped, and counted in a metric. The stored counts have their clicks anyway.
"""

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
        self._arrived = trio.Event()
        self.published = 0
        self.dropped = 0

    def committed(self, sequence: int, batches: Sequence[Batch]) -> None:
        """Take batches of a journal that were just folded, of clicks above `sequence`. Never waits, never
        raises."""
        if not self._subscribed:
            return
        for slice_ in batches_after(sequence, batches):
            if len(self._waiting) >= MAX_WAITING:
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
                await self._publish(self._waiting.popleft())

    async def _refresh_subscribed(self) -> None:
        while True:
            try:
                self._subscribed = await self._channel.subscribed_profiles()
            except UnavailableError:
                self._subscribed = frozenset()
            await trio.sleep(POLL_S)

    async def _publish(self, slice_: BatchSlice) -> None:
        by_profile: dict[int, list[Click]] = defaultdict(list)
        try:
            for click in clicks(slice_.batch.payload, slice_.after):
                if click.profile_id in self._subscribed:
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
