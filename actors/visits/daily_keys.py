"""The daily keys of an edge: prepared before their day, agreed with other edges, forgotten after it.

The rules are those of engine/visits/daily_key.py. Guarantees:

- The visitor server never waits for a key: pseudonymiser() answers from memory, None while a day has none.
- The edges of one machine have one key for a day, with Redis or without it, over restarts too (the key store).
- The edges of several machines have one key as soon as they hear each other; before its first use if they hear
  each other then. An edge that could not be heard is noticed within GREET_S of the connection's return.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.visits.daily_key import (
    DAY_US,
    DailyKey,
    KeyAnnouncement,
    best,
    fingerprint,
    pack_greeting,
    pack_keys,
    unpack,
    wanted_days,
)
from engine.visits.ports import EdgeChannel, LocalKeyStore
from engine.visits.pseudonym import Pseudonymiser

logger = logging.getLogger("waypost.daily_keys")

TICK_S: Final = 2.0
GREET_S: Final = 10.0
SETTLE_S: Final = 0.15  # twice: for responses to an offer, and to its repetition
LISTEN_WAIT_S: Final = 1.0  # for a Redis server that does not respond
QUIET_S: Final = 0.1  # a key just announced is not announced again
_BUSY_TRIES: Final = 100
_BUSY_S: Final = 0.01

DAILY_KEYS: Final = Metric("waypost_daily_keys", "Daily keys that edges hold in memory")
KEY_STORES: Final = Metric(
    "waypost_daily_key_stores",
    "Edges that also keep daily keys in tmpfs, so that the keys outlive a restart",
)
KEY_CONFLICTS: Final = Metric(
    "waypost_daily_key_conflicts_total",
    "Daily keys in use that were replaced by another machine's: visitors of both count twice",
)
STORE_FAILURES: Final = Metric(
    "waypost_daily_key_store_failures_total",
    "Daily keys that could not be written to tmpfs or read",
)
MALFORMED_MESSAGES: Final = Metric(
    "waypost_daily_key_malformed_total", "Messages on the channel of daily keys that are none"
)


class DailyKeys:
    """`run` is a supervisor's child; `pseudonymiser` is for the visitor server."""

    def __init__(
        self,
        store: LocalKeyStore | None,
        channel: EdgeChannel,
        *,
        now_us: Callable[[], int],
        random_key: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._channel = channel
        self._now_us = now_us
        self._random_key = random_key
        self._keys: dict[int, DailyKey] = {}
        self._pseudonymisers: dict[int, Pseudonymiser] = {}  # of days whose key is chosen
        self._announced_at: dict[
            int, float
        ] = {}  # when the day's key was last heard on the channel
        self._store_failing = False  # and it was logged
        self.ready = trio.Event()  # set once today has a key
        self.counts = dict.fromkeys(
            ("made", "adopted", "conflicts", "malformed", "store_failures"), 0
        )

    def pseudonymiser(self, day: int) -> Pseudonymiser | None:
        """Return that of a day since 1970 in UTC; None while it has no key."""
        return self._pseudonymisers.get(day)

    def samples(self) -> list[Sample]:
        return [
            DAILY_KEYS.sample(len(self._keys)),
            KEY_STORES.sample(int(self._store is not None)),
            KEY_CONFLICTS.sample(self.counts["conflicts"]),
            STORE_FAILURES.sample(self.counts["store_failures"]),
            MALFORMED_MESSAGES.sample(self.counts["malformed"]),
        ]

    async def run(self) -> None:
        """Keep the keys of the days that need one, for ever, and agree on them with other edges."""
        greeted_at = -GREET_S
        listening = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, listening)
            await self._restore()
            with trio.move_on_after(LISTEN_WAIT_S):
                await listening.wait()
            while True:
                await self._update()
                self.ready.set()
                if trio.current_time() >= greeted_at + GREET_S:
                    greeted_at = trio.current_time()
                    for key in list(self._keys.values()):
                        await self._channel.send(
                            pack_greeting(KeyAnnouncement(key.day, fingerprint(key.key)))
                        )
                await trio.sleep(TICK_S)

    async def _listen(self, listening: trio.Event) -> None:
        async with self._channel.listen() as messages:
            listening.set()
            await self._follow(messages)

    # ---- keeping keys -----------------------------------------------------------------------------

    async def _restore(self) -> None:
        """After a restart, keep using the key that this machine already used today, whatever the other edges
        offer."""
        await self._exchange()
        for day, key in self._keys.items():
            if key.used:
                self._pseudonymisers[day] = Pseudonymiser(key.key)
        if self._now_us() // DAY_US in self._pseudonymisers:
            self.ready.set()

    async def _update(self) -> None:
        """Get a key for each day that needs one, and drop all others."""
        now_us = self._now_us()
        await self._exchange()
        for day in wanted_days(now_us):
            if day not in self._keys:
                self.counts["made"] += 1
                self._choose([DailyKey(day, False, now_us, self._random_key())])
                await self._exchange()
            if day not in self._pseudonymisers:
                await self._settle(day)
        self._mark_used(now_us // DAY_US)
        await self._exchange()

    async def _settle(self, day: int) -> None:
        """Choose the day's key: a used one at once, otherwise after other edges had time to answer an offer."""
        for _ in range(2):
            key = self._keys.get(day)
            if key is None or key.used:
                break
            listeners = await self._channel.send(pack_keys([key]))
            if listeners in (0, 1):  # no other edge
                break
            await trio.sleep(SETTLE_S)
        if (key := self._keys.get(day)) is not None:
            self._pseudonymisers[day] = Pseudonymiser(key.key)

    def _mark_used(self, day: int) -> None:
        key = self._keys.get(day)
        if key is not None and day in self._pseudonymisers:
            self._keys[day] = key._replace(used=True)

    def _choose(self, keys: Iterable[DailyKey]) -> bool:
        """Keep the best key of each day. Returns whether any day's key or the days have changed."""
        chosen = best([*self._keys.values(), *keys], self._now_us())
        changed = False
        for day, key in chosen.items():
            former = self._keys.get(day)
            if former is None or former.key == key.key:
                continue
            changed = True
            self.counts["adopted"] += 1
            if day in self._pseudonymisers:
                self._pseudonymisers[day] = Pseudonymiser(key.key)
            if former.used:
                self.counts["conflicts"] += 1
                logger.warning(
                    "daily key replaced by another edge's; visitors seen under both keys count twice today",
                    extra={"event": "daily_key_conflict"},
                )
        changed = changed or chosen.keys() != self._keys.keys()
        self._keys = chosen
        for day in self._pseudonymisers.keys() - chosen.keys():
            del self._pseudonymisers[day]
        for day in self._announced_at.keys() - chosen.keys():
            del self._announced_at[day]
        return changed

    async def _exchange(self) -> None:
        """Exchange keys with the other edges of this machine, through the key store."""
        if self._store is None:
            self._choose(())
            return
        for _ in range(_BUSY_TRIES):
            try:
                self._choose(
                    self._store.exchange(list(self._keys.values()), self._now_us()).values()
                )
                self._store_failing = False
                return
            except UnavailableError:
                await trio.sleep(_BUSY_S)
            except OSError as error:
                if not self._store_failing:
                    logger.error(
                        "daily keys could not be shared with the other edges of this machine: %s",
                        error,
                        extra={"event": "key_store_failed"},
                    )
                break
        self._store_failing = True
        self.counts["store_failures"] += 1
        self._choose(())

    # ---- agreeing -----------------------------------------------------------------------------------

    async def _follow(self, messages: AsyncIterator[bytes]) -> None:
        async for message in messages:
            content = unpack(message)
            if content is None:
                self.counts["malformed"] += 1
            elif isinstance(content, KeyAnnouncement):
                key = self._keys.get(content.day)
                if key is not None and fingerprint(key.key) != content.fingerprint:
                    await self._announce(key)
            else:
                await self._on_offer(content)

    async def _on_offer(self, offered: list[DailyKey]) -> None:
        if self._choose(offered):
            await self._exchange()
        for offer in offered:
            key = self._keys.get(offer.day)
            if key is not None and key.key == offer.key:
                self._announced_at[key.day] = trio.current_time()
            elif key is not None:
                await self._announce(key)

    async def _announce(self, key: DailyKey) -> None:
        """Offer a key to all edges, unless it was just heard on the channel."""
        if trio.current_time() - self._announced_at.get(key.day, -QUIET_S) >= QUIET_S:
            await self._channel.send(pack_keys([key]))
