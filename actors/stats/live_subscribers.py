"""Who watches clicks as they come, in this console: bounded by user, profile and process.

While there are watchers, it says which profiles are watched and hears their news; else it rests. A watcher that
does not keep up is let go and counted: it may come again.
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
    "waypost_live_subscribers", "Streams of live updates that consoles serve at the moment"
)
REFUSED: Final = Metric("waypost_live_refused_total", "Streams of live updates refused at a limit")
SLOW: Final = Metric(
    "waypost_live_slow_total", "Live updates that a subscriber was too slow to take"
)


class LiveSubscriber:
    """One of them. `clicks` wait until they are taken; `ended` says why no more will come."""

    def __init__(self, user_id: int, profile_id: int) -> None:
        self.user_id = user_id
        self.profile_id = profile_id
        self.clicks: deque[LiveClick] = deque()
        self.ended = ""
        self.arrived = trio.Event()

    def put(self, clicks: list[LiveClick]) -> bool:
        """Whether it keeps up."""
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
        """Until there is something, or that time is over."""
        if not self.clicks and not self.ended:
            self.arrived = trio.Event()
            with trio.move_on_after(seconds):
                await self.arrived.wait()


class LiveSubscribers:
    """Run it under a supervisor."""

    def __init__(self, channel: LiveChannel) -> None:
        self._channel = channel
        self._watchers: set[LiveSubscriber] = set()
        self._minutes: dict[int, deque[tuple[float, tuple[int, int, int]]]] = {}
        self._came = trio.Event()
        self._closed = False
        self.refused = 0
        self.slow = 0

    @contextmanager
    def subscription(self, user_id: int, profile_id: int) -> Iterator[LiveSubscriber]:
        """Raises TooSoonError when the user or the profile has enough, UnavailableError when all have."""
        self.admit(user_id, profile_id)
        watcher = LiveSubscriber(user_id, profile_id)
        self._watchers.add(watcher)
        self._minutes.setdefault(profile_id, deque())
        self._came.set()
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            if not any(one.profile_id == profile_id for one in self._watchers):
                del self._minutes[profile_id]

    def admit(self, user_id: int, profile_id: int) -> None:
        """Raises what `watching` would."""
        users = Counter(one.user_id for one in self._watchers)
        profiles = Counter(one.profile_id for one in self._watchers)
        try:
            if self._closed or len(self._watchers) >= MAX_OF_PROCESS:
                raise UnavailableError("too many are watching; try again later")
            if users[user_id] >= MAX_OF_USER:
                raise TooSoonError(f"one user may watch {MAX_OF_USER} times at once", RETRY_S)
            if profiles[profile_id] >= MAX_OF_PROFILE:
                raise TooSoonError(
                    f"{MAX_OF_PROFILE} are watching this profile, which is all that may", RETRY_S
                )
        except (UnavailableError, TooSoonError):
            self.refused += 1
            raise

    def minute(self, profile_id: int) -> tuple[int, int, int]:
        """Clicks, views and bots that were heard of in the last minute."""
        heard = self._minutes.get(profile_id, deque())
        since = trio.current_time() - MINUTE_S
        while heard and heard[0][0] < since:
            heard.popleft()
        clicks, views, bots = (sum(counts[n] for _, counts in heard) for n in range(3))
        return clicks, views, bots

    def close(self) -> None:
        """Let everybody go, and nobody in any more: the process ends."""
        self._closed = True
        for one in self._watchers:
            one.end("closing")

    async def run(self) -> None:
        while True:
            while not self._watchers:
                self._came = trio.Event()
                await self._came.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                await self._refresh_subscriptions()
                nursery.cancel_scope.cancel()

    async def _refresh_subscriptions(self) -> None:
        while self._watchers:
            self._came = trio.Event()
            try:
                await self._channel.subscribe(sorted({one.profile_id for one in self._watchers}))
            except UnavailableError:
                await trio.sleep(RETRY_S / 5)
                continue
            with trio.move_on_after(SUBSCRIPTION_S / 3):
                await self._came.wait()

    async def _receive(self) -> None:
        async with self._channel.listen() as news:
            async for one in news:
                self._deliver(one)

    def _deliver(self, one: LiveUpdate) -> None:
        heard = self._minutes.get(one.profile_id)
        if heard is None:
            return
        heard.append((trio.current_time(), one.counts))
        if len(heard) > 10_000:
            heard.popleft()
        for watcher in self._watchers:
            if watcher.profile_id == one.profile_id and not watcher.ended:
                self.slow += not watcher.put(one.clicks)

    def __len__(self) -> int:
        return len(self._watchers)

    def samples(self) -> list[Sample]:
        return [
            SUBSCRIBERS.sample(len(self)),
            REFUSED.sample(self.refused),
            SLOW.sample(self.slow),
        ]
