"""Clicks of limited links that this edge has leased, and visitors who wait for a lease."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

import trio

from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.visits.click_quota import ClickQuotaStore

MAX_WAITING: Final = 8_192
MAX_LINKS_A_LEASE: Final = 500
SPENT_S: Final = 2.0  # an edge that gives back what it has leased may open a link again
UNUSED_S: Final = 5.0
_RETRY_S: Final = 0.2
_GIVE_BACK_S: Final = 1.0

LEASED: Final = Metric(
    "waypost_click_quota_leased_total", "Clicks of limited links that edges leased"
)
REFUSED: Final = Metric(
    "waypost_click_quota_refused_total",
    "Visits answered 503, as too many waited for a click of a limited link",
)


class ClickPermit:
    """Clicks of one link that may pass. `left` are leased and unused; until `spent_until_s` no more are."""

    __slots__ = (
        "__weakref__", "left", "link_id", "spent_until_s", "tenant_id", "used_at_s", "waiters",
    )  # fmt: skip

    def __init__(self, tenant_id: int, link_id: int) -> None:
        self.tenant_id = tenant_id
        self.link_id = link_id
        self.left = 0
        self.spent_until_s = 0.0
        self.used_at_s = 0.0
        self.waiters: list[tuple[Any, Any]] = []


Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class ClickQuotas:
    """The permits of one edge. Run `run` as a task; `monotonic` is the clock of both."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # One of a link as long as a gate has it, and those with clicks to give back.
        self._permits: WeakValueDictionary[int, ClickPermit] = WeakValueDictionary()
        self._holding: dict[int, ClickPermit] = {}
        self._wanted: dict[int, ClickPermit] = {}
        self._event = trio.Event()
        self._waiting = 0
        self.leased = 0
        self.refused = 0

    def permit(self, tenant_id: int, link_id: int) -> ClickPermit:
        """Return the permit of a link, which its gates share."""
        permit = self._permits.get(link_id)
        if permit is None:
            permit = self._permits[link_id] = ClickPermit(tenant_id, link_id)
        permit.spent_until_s = 0.0  # the limit may have been raised
        return permit

    def take(self, permit: ClickPermit, count: int = 1) -> bool | None:
        """Take one click, or with count 0 none. Returns False if the limit is reached, and None if that is not
        known yet: wait()."""
        if permit.left > 0:
            permit.left -= count
            permit.used_at_s = self._monotonic()
            return True
        return False if self._monotonic() < permit.spent_until_s else None

    def wait(self, permit: ClickPermit, waiter: Any, route: Any) -> bool:
        """Have a lease asked for; run() then delivers the waiter with its route. Returns False when too many
        wait."""
        if self._waiting >= MAX_WAITING:
            self.refused += 1
            return False
        self._waiting += 1
        permit.waiters.append((waiter, route))
        self._wanted[permit.link_id] = permit
        self._event.set()
        return True

    async def run(self, store: ClickQuotaStore, deliver: Deliver) -> None:
        """Lease for those who wait, and give back what is not used. Ends when cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give_back_unused, store)
                while True:
                    await self._event.wait()
                    self._event = trio.Event()
                    while self._wanted:
                        await self._lease(store, deliver)
        finally:
            await self._give_back(store, list(self._holding.values()))

    async def _lease(self, store: ClickQuotaStore, deliver: Deliver) -> None:
        permits = list(self._wanted.values())[:MAX_LINKS_A_LEASE]
        try:
            leases = await store.lease([(p.tenant_id, p.link_id) for p in permits])
        except UnavailableError:
            await trio.sleep(_RETRY_S)  # those who wait longest are refused by the server
            self._forget_given_up(permits)
            return
        results: list[tuple[list[Any], Any]] = []
        for permit in permits:
            del self._wanted[permit.link_id]
            granted = leases.get(permit.link_id, 0)
            permit.left += granted
            self.leased += granted
            permit.used_at_s = self._monotonic()
            if granted:
                self._holding[permit.link_id] = permit
            else:
                permit.spent_until_s = self._monotonic() + SPENT_S
            waiters, permit.waiters = permit.waiters, []
            self._waiting -= len(waiters)
            results += [([waiter], route) for waiter, route in waiters]
        deliver(results, True)

    def _forget_given_up(self, permits: list[ClickPermit]) -> None:
        """Drop waiters whose request has been refused meanwhile."""
        for permit in permits:
            kept = [
                (waiter, route) for waiter, route in permit.waiters if waiter.waiting is not None
            ]
            self._waiting -= len(permit.waiters) - len(kept)
            permit.waiters = kept
            if not kept:
                self._wanted.pop(permit.link_id, None)

    async def _give_back_unused(self, store: ClickQuotaStore) -> None:
        while True:
            await trio.sleep(UNUSED_S)
            before = self._monotonic() - UNUSED_S
            old = [p for p in self._holding.values() if p.used_at_s <= before and not p.waiters]
            for permit in old:
                del self._holding[permit.link_id]
            await self._give_back(store, old)

    async def _give_back(self, store: ClickQuotaStore, permits: list[ClickPermit]) -> None:
        unused = [(p.tenant_id, p.link_id, p.left) for p in permits if p.left]
        for permit in permits:
            permit.left = 0
        if unused:
            # Nobody else knows of these clicks: a process that stops gives them back first.
            with trio.move_on_after(_GIVE_BACK_S, shield=True), suppress(UnavailableError):
                await store.give_back(unused)  # or they count as used

    def samples(self) -> list[Sample]:
        return [LEASED.sample(self.leased), REFUSED.sample(self.refused)]
