"""Live subscribers of this console, bounded by user, profile and process.

While there are subscribers, the console subscribes to their profiles and receives live updates; otherwise
it does nothing. A subscriber that does not keep up is ended, and counted in a metric; it may subscribe
again. The latest clicks are kept until KEEP_S after the last subscriber has left, so that a stream which breaks
off can be resumed at the same console.
"""

import secrets
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import trio

from actors.stats.live_clicks import NumberedClick, ProfileClickFeed
from engine.common.errors import TooSoonError, UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.live import LiveUpdate
from engine.stats.ports import SUBSCRIPTION_S, LiveChannel

MAX_OF_USER: Final = 6
MAX_OF_PROFILE: Final = 50
MAX_OF_PROCESS: Final = 600
MAX_PROFILES: Final = 200  # whose latest clicks are kept
MAX_WAITING: Final = 500
RETRY_S: Final = 5.0
KEEP_S: Final = 30.0
OPEN_S: Final = 2.0  # what opening waits for Redis at most

Gap = Literal["", "resume", "lost"]

SUBSCRIBERS: Final = Metric(
    "waypost_live_subscribers", "Streams of live updates that consoles serve"
)
REFUSED: Final = Metric("waypost_live_refused_total", "Streams of live updates refused at a limit")
SLOW: Final = Metric(
    "waypost_live_slow_total", "Live updates that a subscriber was too slow to take"
)


class LiveSubscriber:
    """A subscriber. `clicks` wait until they are taken; `ended` is the reason why no more follow, or empty.

    `gap` says why clicks before these may be missing: `resume`, those since the last event of the stream that
    is resumed; `lost`, those that Redis did not deliver.
    """

    def __init__(self, user_id: int, profile_id: int) -> None:
        self.user_id = user_id
        self.profile_id = profile_id
        self.clicks: deque[NumberedClick] = deque()
        self.gap: Gap = ""
        self.ended = ""
        self.arrived = trio.Event()

    def put(self, clicks: list[NumberedClick]) -> bool:
        """Add clicks. Returns False, and ends the subscriber, if too many wait."""
        if len(self.clicks) + len(clicks) > MAX_WAITING:
            self.end("slow")
            return False
        self.clicks += clicks
        self.arrived.set()
        return True

    def lose(self, gap: Gap) -> None:
        self.gap = self.gap or gap
        self.arrived.set()

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.arrived.set()

    async def wait(self, seconds: float) -> None:
        """Wait until there are clicks, a gap or the end, `seconds` at most."""
        if not self.clicks and not self.gap and not self.ended:
            self.arrived = trio.Event()
            with trio.move_on_after(seconds):
                await self.arrived.wait()


class LiveSubscribers:
    """The subscribers of a process. Run it under a supervisor."""

    def __init__(self, channel: LiveChannel) -> None:
        self._channel = channel
        self._subscribers: set[LiveSubscriber] = set()
        self._feeds: dict[int, ProfileClickFeed] = {}
        self._epoch = secrets.token_hex(4)  # of numbers: they begin anew with each process
        self._last = 0
        self._arrived = trio.Event()
        self._listening = trio.Event()
        self._closed = False
        self.refused = 0
        self.slow = 0

    @contextmanager
    def subscription(
        self, user_id: int, profile_id: int, last_event_id: str = ""
    ) -> Iterator[LiveSubscriber]:
        """Subscribe to a profile within the block. Raises what admit() raises.

        `last_event_id` resumes a stream after that event, or notes a gap if that is not possible.
        """
        self.admit(user_id, profile_id)
        subscriber = LiveSubscriber(user_id, profile_id)
        feed = self._feed(profile_id)
        if last_event_id:
            clicks = feed.after(self._number_of(last_event_id))
            if clicks is None:
                subscriber.lose("resume")
            else:
                subscriber.clicks += clicks
        self._subscribers.add(subscriber)
        self._arrived.set()
        try:
            yield subscriber
        finally:
            self._subscribers.remove(subscriber)
            if not any(other.profile_id == profile_id for other in self._subscribers):
                feed.left_at = trio.current_time()

    def event_id(self, click: NumberedClick) -> str:
        return f"{self._epoch}.{click.number}"

    async def open(self, subscriber: LiveSubscriber) -> None:
        """Wait until all clicks that are committed from now on reach the subscriber, or note a gap."""
        feed = self._feeds[subscriber.profile_id]
        with trio.move_on_after(OPEN_S) as waiting:
            await self._listening.wait()
            await feed.announced.wait()
        if waiting.cancelled_caught:
            subscriber.lose("lost")

    def _feed(self, profile_id: int) -> ProfileClickFeed:
        """Return the profile's feed, and make room for it: that of the profile that was left first goes."""
        self._forget(trio.current_time() - KEEP_S)
        feed = self._feeds.get(profile_id)
        if feed is None:
            if len(self._feeds) >= MAX_PROFILES:
                left = {p: f.left_at for p, f in self._feeds.items() if f.left_at is not None}
                self._drop(min(left, key=left.__getitem__))
            feed = self._feeds[profile_id] = ProfileClickFeed(self._last)
        feed.left_at = None
        return feed

    def _forget(self, left_before: float) -> None:
        for profile_id, feed in list(self._feeds.items()):
            if feed.left_at is not None and feed.left_at < left_before:
                self._drop(profile_id)

    def _drop(self, profile_id: int) -> None:
        del self._feeds[profile_id]
        self._last += 1  # a stream that had all until now has a gap when it is resumed

    def _number_of(self, event_id: str) -> int:
        """Return an event's number; -1: of another process, or none."""
        epoch, _, number = event_id.partition(".")
        known = epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if known else -1

    def admit(self, user_id: int, profile_id: int) -> None:
        """Raise TooSoonError if the user or the profile has its limit of subscribers, and UnavailableError
        if the process has."""
        users = Counter(subscriber.user_id for subscriber in self._subscribers)
        profiles = Counter(subscriber.profile_id for subscriber in self._subscribers)
        try:
            is_new = profile_id not in profiles and len(profiles) >= MAX_PROFILES
            if self._closed or len(self._subscribers) >= MAX_OF_PROCESS or is_new:
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
        feed = self._feeds.get(profile_id)
        return feed.minute() if feed is not None else (0, 0, 0)

    def close(self) -> None:
        """End all subscribers and refuse new ones, because the process ends."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end("closing")

    async def run(self) -> None:
        while True:
            while not self._feeds:
                self._arrived = trio.Event()
                await self._arrived.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                await self._refresh_subscriptions()
                nursery.cancel_scope.cancel()

    async def _refresh_subscriptions(self) -> None:
        await self._listening.wait()  # before workers publish
        announced_at = trio.current_time()
        while self._feeds:
            self._arrived = trio.Event()
            feeds = dict(self._feeds)
            try:
                await self._channel.subscribe(sorted(feeds))
            except UnavailableError:
                if trio.current_time() - announced_at > SUBSCRIPTION_S:
                    self._lose()
                await trio.sleep(RETRY_S / 5)
            else:
                announced_at = trio.current_time()
                for feed in feeds.values():
                    feed.announced.set()
                with trio.move_on_after(SUBSCRIPTION_S / 3):
                    await self._arrived.wait()
            self._forget(trio.current_time() - KEEP_S)

    async def _receive(self) -> None:
        try:
            async with self._channel.listen() as updates:
                self._listening.set()
                async for update in updates:
                    if update is None:
                        self._lose()
                    else:
                        self._deliver(update)
        finally:
            self._listening = trio.Event()
            self._lose()

    def _lose(self) -> None:
        """Note that updates of any profile may be lost."""
        for feed in self._feeds.values():
            feed.lose(self._last)
        self._last += 1  # as in _drop()
        for subscriber in self._subscribers:
            subscriber.lose("lost")

    def _deliver(self, update: LiveUpdate) -> None:
        feed = self._feeds.get(update.profile_id)
        if feed is None:
            return
        clicks = feed.add(update, self._last)
        self._last += len(clicks)
        for subscriber in self._subscribers:
            if subscriber.profile_id == update.profile_id and not subscriber.ended:
                self.slow += not subscriber.put(clicks)

    def __len__(self) -> int:
        return len(self._subscribers)

    def samples(self) -> list[Sample]:
        return [
            SUBSCRIBERS.sample(len(self)),
            REFUSED.sample(self.refused),
            SLOW.sample(self.slow),
        ]
