"""An edge's keys of pseudonyms: prepared before their day, agreed with the other edges, forgotten after it.

The rules are those of engine/visits/daily_key.py. Guarantees:

- The door never waits for a key: `ids` answers from memory, None while a day has none yet.
- Edges of one machine have one key for a day, with Redis or without it, over restarts too (the shelf).
- Edges of several machines have one key as soon as they hear each other; before first use if they hear each
  other then. Whoever could not be heard is noticed within GREET_S of the connection's return.
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
from engine.visits.ports import DailyKeyChannel, LocalKeyStore
from engine.visits.pseudonym import Pseudonymiser

logger = logging.getLogger("waypost.visitor_keys")

TICK_S: Final = 2.0
GREET_S: Final = 10.0
SETTLE_S: Final = 0.15  # twice: for answers to an offer, and to its repetition
LISTEN_WAIT_S: Final = 1.0  # for a server that does not answer
QUIET_S: Final = 0.1  # in which what was just said is not said again
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
    """`run` is a supervisor's child; `ids` is the door's."""

    def __init__(
        self,
        shelf: LocalKeyStore | None,
        channel: DailyKeyChannel,
        *,
        now_us: Callable[[], int],
        random_key: Callable[[], bytes],
    ) -> None:
        self._shelf = shelf
        self._channel = channel
        self._now_us = now_us
        self._random_key = random_key
        self._held: dict[int, DailyKey] = {}
        self._ids: dict[int, Pseudonymiser] = {}
        self._said_at: dict[int, float] = {}  # when the key held was last heard on the channel
        self._failing = False  # the shelf, and that was said
        self.ready = trio.Event()  # today has a key
        self.counts = dict.fromkeys(
            ("made", "adopted", "conflicts", "malformed", "store_failures"), 0
        )

    def pseudonymiser(self, day: int) -> Pseudonymiser | None:
        """Pseudonyms of that day (since 1970, UTC); None while it has no key."""
        return self._ids.get(day)

    def samples(self) -> list[Sample]:
        return [
            DAILY_KEYS.sample(len(self._held)),
            KEY_STORES.sample(self._shelf is not None),
            KEY_CONFLICTS.sample(self.counts["conflicts"]),
            STORE_FAILURES.sample(self.counts["store_failures"]),
            MALFORMED_MESSAGES.sample(self.counts["malformed"]),
        ]

    async def run(self) -> None:
        greeted_at = -GREET_S
        listening = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, listening)
            await self._remember()
            with trio.move_on_after(LISTEN_WAIT_S):
                await listening.wait()
            while True:
                await self._ensure()
                self.ready.set()
                if trio.current_time() >= greeted_at + GREET_S:
                    greeted_at = trio.current_time()
                    for key in list(self._held.values()):
                        await self._channel.send(
                            pack_greeting(KeyAnnouncement(key.day, fingerprint(key.key)))
                        )
                await trio.sleep(TICK_S)

    async def _listen(self, listening: trio.Event) -> None:
        async with self._channel.listen() as messages:
            listening.set()
            await self._follow(messages)

    # ---- having them ------------------------------------------------------------------------------

    async def _remember(self) -> None:
        """After a restart: what was in use on this machine still is, whoever else can be heard."""
        await self._share()
        for day, key in self._held.items():
            if key.used:
                self._ids[day] = Pseudonymiser(key.key)
        if self._now_us() // DAY_US in self._ids:
            self.ready.set()

    async def _ensure(self) -> None:
        """Have a key for each day that one is wanted for, and none for any other."""
        now_us = self._now_us()
        await self._share()
        for day in wanted_days(now_us):
            if day not in self._held:
                self.counts["made"] += 1
                self._take([DailyKey(day, False, now_us, self._random_key())])
                await self._share()
            if day not in self._ids:
                await self._settle(day)
        self._use(now_us // DAY_US)
        await self._share()

    async def _settle(self, day: int) -> None:
        """Choose among candidates while nobody uses one; what is in use already is chosen at once."""
        for _ in range(2):
            key = self._held.get(day)
            if key is None or key.used:
                break
            listening = await self._channel.send(pack_keys([key]))
            if listening in (0, 1):  # nobody else
                break
            await trio.sleep(SETTLE_S)
        if (key := self._held.get(day)) is not None:
            self._ids[day] = Pseudonymiser(key.key)

    def _use(self, day: int) -> None:
        key = self._held.get(day)
        if key is not None and day in self._ids:
            self._held[day] = key._replace(used=True)

    def _take(self, keys: Iterable[DailyKey]) -> bool:
        """Keep the best for each day; whether a key is another one now."""
        found = best([*self._held.values(), *keys], self._now_us())
        changed = False
        for day, key in found.items():
            held = self._held.get(day)
            if held is None or held.key == key.key:
                continue
            changed = True
            self.counts["adopted"] += 1
            if day in self._ids:
                self._ids[day] = Pseudonymiser(key.key)
            if held.used:
                self.counts["conflicts"] += 1
                logger.warning(
                    "another edge's key is used for the rest of the day: visitors of both count twice",
                    extra={"event": "visitor_key_conflict"},
                )
        changed = changed or found.keys() != self._held.keys()
        self._held = found
        for day in self._ids.keys() - found.keys():
            del self._ids[day]
        for day in self._said_at.keys() - found.keys():
            del self._said_at[day]
        return changed

    async def _share(self) -> None:
        """Exchange keys with the other edges of this machine."""
        if self._shelf is None:
            self._take(())
            return
        for _ in range(_BUSY_TRIES):
            try:
                self._take(self._shelf.exchange(list(self._held.values()), self._now_us()).values())
                self._failing = False
                return
            except UnavailableError:
                await trio.sleep(_BUSY_S)
            except OSError as error:
                if not self._failing:
                    logger.error("keys are not shared: %s", error, extra={"event": "shelf_failed"})
                break
        self._failing = True
        self.counts["store_failures"] += 1
        self._take(())

    # ---- agreeing -----------------------------------------------------------------------------------

    async def _follow(self, messages: AsyncIterator[bytes]) -> None:
        async for message in messages:
            said = unpack(message)
            if said is None:
                self.counts["malformed"] += 1
            elif isinstance(said, KeyAnnouncement):
                held = self._held.get(said.day)
                if held is not None and fingerprint(held.key) != said.fingerprint:
                    await self._announce_key(held)
            else:
                await self._on_announcement(said)

    async def _on_announcement(self, offered: list[DailyKey]) -> None:
        if self._take(offered):
            await self._share()
        for key in offered:
            held = self._held.get(key.day)
            if held is not None and held.key == key.key:
                self._said_at[key.day] = trio.current_time()
            elif held is not None:
                await self._announce_key(held)

    async def _announce_key(self, key: DailyKey) -> None:
        if trio.current_time() - self._said_at.get(key.day, -QUIET_S) >= QUIET_S:
            await self._channel.send(pack_keys([key]))
