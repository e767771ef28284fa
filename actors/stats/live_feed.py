"""The live feed of the workers: what was committed just now, for the profiles that somebody watches.

Nobody watching, it costs the fold one look at an empty set. It never keeps a fold waiting: what it cannot take
is dropped and counted, as the counts have it anyway.
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
    "Live updates dropped, as too many waited, Redis was away or a batch could not be read",
)


class LiveFeed:
    def __init__(self, channel: LiveChannel) -> None:
        self._channel = channel
        self._watched: frozenset[int] = frozenset()
        self._waiting: deque[BatchSlice] = deque()
        self._arrived = trio.Event()
        self.published = 0
        self.dropped = 0

    def committed(self, position: int, batches: Sequence[Batch]) -> None:
        """These were committed behind this position of their journal. Never waits, never raises."""
        if not self._watched:
            return
        for slice_ in batches_after(position, batches):
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
            else:
                self._waiting.append(slice_)
        self._arrived.set()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_watched)
            while True:
                while not self._waiting:
                    self._arrived = trio.Event()
                    await self._arrived.wait()
                await self._publish(self._waiting.popleft())

    async def _keep_watched(self) -> None:
        while True:
            try:
                self._watched = await self._channel.subscribed_profiles()
            except UnavailableError:
                self._watched = frozenset()
            await trio.sleep(POLL_S)

    async def _publish(self, slice_: BatchSlice) -> None:
        by_profile: dict[int, list[Click]] = defaultdict(list)
        try:
            for click in clicks(slice_.batch.payload, slice_.after):
                if click.profile_id in self._watched:
                    by_profile[click.profile_id].append(click)
        except FormatError:  # it was committed all the same, by who knows better
            self.dropped += 1
        await trio.lowlevel.checkpoint()
        found: list[LiveUpdate] = []
        for profile_id, some in by_profile.items():
            if (one := live_update(profile_id, some)) is not None:
                found.append(one)
        try:
            await self._channel.publish(found)
            self.published += len(found)
        except UnavailableError:
            self.dropped += len(found)

    def samples(self) -> list[Sample]:
        return [PUBLISHED.sample(self.published), DROPPED.sample(self.dropped)]
