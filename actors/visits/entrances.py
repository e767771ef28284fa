"""Entrances of an edge: remembered for its own visitors at once, and by the other edges within 100 ms.

A visitor's click may come to another edge than the view before it. So each edge announces its entrances to all
others, many in one message. Nothing waits for that: what cannot be announced is counted, and the click that
needed it is recorded without the entrance's referrer.
"""

import os
from collections.abc import Callable
from typing import Final

import trio
from msgspec.structs import replace

from engine.operations.metrics import Metric, Sample
from engine.visits.daily_key import DAY_US
from engine.visits.entrance import (
    KEPT_US,
    MAX_CAMPAIGN_BYTES,
    Entrance,
    EntranceMemory,
    pack_entrances,
    unpack_entrances,
)
from engine.visits.ports import EdgeChannel
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.query_parameters import campaign

MAX_ENTRANCES: Final = 100_000
MAX_UNSENT: Final = 10_000
_PER_MESSAGE: Final = 500
_LINGER_S: Final = 0.03
_FORGET_S: Final = 10.0
_PER_STEP: Final = 1_000
_SENDER_BYTES: Final = 8

ENTRANCES: Final = Metric(
    "waypost_entrances_kept", "Visitors' ways to a page that edges remember, for 30 minutes each"
)
EVICTED_ENTRANCES: Final = Metric(
    "waypost_entrances_evicted_total",
    "Entrances forgotten before their time, as the profile or the edge has too many",
    ("bound",),
)
UNANNOUNCED_ENTRANCES: Final = Metric(
    "waypost_entrances_unannounced_total", "Entrances that other edges were not told of"
)
MALFORMED_ENTRANCES: Final = Metric(
    "waypost_entrances_malformed_total", "Messages on the channel of entrances that are none"
)


class Entrances:
    """The entrances that one edge knows. Run `announce`, `follow` and `forget` as tasks.

    `pseudonymiser` returns that of a day since 1970 in UTC, or None: a visitor who entered before midnight has
    another pseudonym after it.
    """

    def __init__(
        self,
        max_entrances: int = MAX_ENTRANCES,
        pseudonymiser: Callable[[int], Pseudonymiser | None] = lambda _: None,
    ) -> None:
        self.memory = EntranceMemory(max_entrances)
        self.unannounced = 0
        self.malformed = 0
        self._pseudonymiser = pseudonymiser
        self._unsent: list[Entrance] = []
        self._sender = os.urandom(_SENDER_BYTES)  # begins this edge's messages, which it gets, too
        self._entered = trio.Event()

    # ---- for profile actors, synchronous ------------------------------------------------------

    def enter(
        self, profile_id: int, at_us: int, visitor_id: bytes, referrer: bytes, query: bytes
    ) -> None:
        """Remember the way of a view, and have it announced. `query` has the campaign, or is empty."""
        of_view = campaign(query, MAX_CAMPAIGN_BYTES) if query else b""
        if not (referrer or of_view):
            return
        entrance = Entrance(profile_id, at_us, visitor_id, referrer, of_view)
        self.memory.add(entrance)
        if len(self._unsent) < MAX_UNSENT:
            self._unsent.append(entrance)
            self._entered.set()
        else:
            self.unannounced += 1

    def last(self, visitor_id: bytes, identity: bytes, at_us: int) -> Entrance | None:
        """Return the last entrance of the visitor with this pseudonym, or with yesterday's of `identity`."""
        entrance = self.memory.last(visitor_id, at_us)
        if entrance is None and at_us % DAY_US <= KEPT_US:
            yesterdays = self._pseudonymiser(at_us // DAY_US - 1)
            if yesterdays is not None:
                entrance = self.memory.last(yesterdays.pseudonym(identity), at_us)
        return entrance

    # ---- tasks --------------------------------------------------------------------------------

    async def announce(self, channel: EdgeChannel) -> None:
        """Announce entrances to the other edges, for ever."""
        while True:
            await self._entered.wait()
            await trio.sleep(_LINGER_S)
            self._entered = trio.Event()
            entrances, self._unsent = self._unsent, []
            for start in range(0, len(entrances), _PER_MESSAGE):
                part = entrances[start : start + _PER_MESSAGE]
                if await channel.send(self._sender + pack_entrances(part)) == 0:
                    self.unannounced += len(part)

    async def follow(self, channel: EdgeChannel, now_us: Callable[[], int]) -> None:
        """Remember the entrances that edges announce, for ever; the own ones are known already."""
        async with channel.listen() as messages:
            async for message in messages:
                if message.startswith(self._sender):
                    continue
                entrances = unpack_entrances(message[_SENDER_BYTES:])
                if entrances is None:
                    self.malformed += 1
                latest_us = now_us()  # by this edge's clock, whatever the sender's says
                for entrance in entrances or ():
                    if entrance.at_us > latest_us:
                        entrance = replace(entrance, at_us=latest_us)
                    self.memory.add(entrance)

    async def forget(self, now_us: Callable[[], int]) -> None:
        """Forget entrances that are over, for ever."""
        while True:
            await trio.sleep(_FORGET_S)
            while self.memory.forget(now_us(), _PER_STEP):
                await trio.lowlevel.checkpoint()

    def samples(self) -> list[Sample]:
        return [
            ENTRANCES.sample(len(self.memory)),
            *EVICTED_ENTRANCES.by_label(self.memory.evicted_for),
            UNANNOUNCED_ENTRANCES.sample(self.unannounced),
            MALFORMED_ENTRANCES.sample(self.malformed),
        ]
