"""Live subscribers of this console, bounded by user, profile and process.

While there are subscribers, the console subscribes to their profiles and receives live updates; otherwise
it does nothing. A subscriber that does not keep up is ended, and counted in a metric; it may subscribe
again.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from engine.common.errors import TooSoonError, UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.live import LiveClick, LiveUpdate
from engine.stats.ports import SUBSCRIPTION_S, LiveChannel

MAX_OF_USER: Final = 6
MAX_OF_PROFILE: Final = 50
MAX_OF_PROCESS: Final = 200
MAX_WAITING: Final = 500
MINUTE_S: Final = 60
RETRY_S: Final = 5.0

SUBSCRIBERS: Final = Metric(
    "waypost_live_subscribers", "Streams of live updates that consoles serve"
)
REFUSED: Final = Metric("waypost_live_refused_total", "Streams of live updates refused at a limit")
SLOW: Final = Metric(
    "waypost_live_slow_total", "Live updates that a subscriber was too slow to take"
)


class LiveSubscriber:
    """A subscriber. `clicks` wait until they are taken; `ended` is the reason why no more follow, or empty."""

    def __init__(self, user_id: int, profile_id: int) -> None:
        self.user_id = user_id
        self.profile_id = profile_id
        self.clicks: deque[LiveClick] = deque()
        self.ended = ""
        self.arrived = trio.Event()

    def put(self, clicks: list[LiveClick]) -> bool:
        """Add clicks. Returns False, and ends the subscriber, if too many wait."""
        if len(self.clicks) + len(clicks) > MAX_WAITING:
            self.end("slow")
            return False
        self.clicks += clicks
        self.arrived.set()
        return True

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.arrived.set()

    async def wait(self, seconds: float) -> None:
        """Wait until there are clicks or the subscriber has ended, `seconds` at most."""
        if not self.clicks and not self.ended:
            self.arrived = trio.Event()
            with trio.move_on_after(seconds):
                await self.arrived.wait()


class LiveSubscribers:
    """The subscribers of a process. Run it under a supervisor."""

    def __init__(self, channel: LiveChannel) -> None:
        self._channel = channel
        self._subscribers: set[LiveSubscriber] = set()
        self._minutes: dict[int, deque[tuple[float, tuple[int, int, int]]]] = {}
        self._arrived = trio.Event()
        self._closed = False
        self.refused = 0
        self.slow = 0

    @contextmanager
    def subscription(self, user_id: int, profile_id: int) -> Iterator[LiveSubscriber]:
        """Subscribe to a profile within the block. Raises what admit() raises."""
        self.admit(user_id, profile_id)
        subscriber = LiveSubscriber(user_id, profile_id)
        self._subscribers.add(subscriber)
        self._minutes.setdefault(profile_id, deque())
        self._arrived.set()
        try:
            yield subscriber
        finally:
            self._subscribers.remove(subscriber)
            if not any(other.profile_id == profile_id for other in self._subscribers):
                del self._minutes[profile_id]

    def admit(self, user_id: int, profile_id: int) -> None:
        """Raise TooSoonError if the user or the profile has its limit of subscribers, and UnavailableError
        if the process has."""
        users = Counter(subscriber.user_id for subscriber in self._subscribers)
        profiles = Counter(subscriber.profile_id for subscriber in self._subscribers)
        try:
            if self._closed or len(self._subscribers) >= MAX_OF_PROCESS:
                raise UnavailableError("this process has too many live streams; try again later")
            if users[user_id] >= MAX_OF_USER:
                raise TooSoonError(f"a user may have {MAX_OF_USER} live streams at once", RETRY_S)
            if profiles[profile_id] >= MAX_OF_PROFILE:
                raise TooSoonError(
                    f"a profile may have {MAX_OF_PROFILE} live streams at once", RETRY_S
                )
        except (UnavailableError, TooSoonError):
            self.refused += 1
            raise

    def minute(self, profile_id: int) -> tuple[int, int, int]:
        """Return the clicks, views and bots of the updates of the last minute."""
        recent = self._minutes.get(profile_id, deque())
        since = trio.current_time() - MINUTE_S
        while recent and recent[0][0] < since:
            recent.popleft()
        clicks, views, bots = (sum(counts[n] for _, counts in recent) for n in range(3))
        return clicks, views, bots

    def close(self) -> None:
        """End all subscribers and refuse new ones, because the process ends."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end("closing")

    async def run(self) -> None:
        while True:
            while not self._subscribers:
                self._arrived = trio.Event()
                await self._arrived.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                await self._refresh_subscriptions()
                nursery.cancel_scope.cancel()

    async def _refresh_subscriptions(self) -> None:
        while self._subscribers:
            self._arrived = trio.Event()
            try:
                await self._channel.subscribe(
                    sorted({subscriber.profile_id for subscriber in self._subscribers})
                )
            except UnavailableError:
                await trio.sleep(RETRY_S / 5)
                continue
            with trio.move_on_after(SUBSCRIPTION_S / 3):
                await self._arrived.wait()

    async def _receive(self) -> None:
        async with self._channel.listen() as updates:
            async for update in updates:
                self._deliver(update)

    def _deliver(self, update: LiveUpdate) -> None:
        recent = self._minutes.get(update.profile_id)
        if recent is None:
            return
        recent.append((trio.current_time(), update.counts))
        if len(recent) > 10_000:
            recent.popleft()
        for subscriber in self._subscribers:
            if subscriber.profile_id == update.profile_id and not subscriber.ended:
                self.slow += not subscriber.put(update.clicks)

    def __len__(self) -> int:
        return len(self._subscribers)

    def samples(self) -> list[Sample]:
        return [
            SUBSCRIBERS.sample(len(self)),
            REFUSED.sample(self.refused),
            SLOW.sample(self.slow),
        ]
