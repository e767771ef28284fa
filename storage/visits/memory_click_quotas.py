"""Leases of clicks in memory: the twin of storage/visits/click_quotas.py."""

from collections.abc import Callable, Sequence

import trio

from engine.visits.click_quota import MAX_LEASE, lease_of


class MemoryClickQuotas:
    """ClickQuotaStore without a server. `limit_of` returns a link's limit."""

    def __init__(self, limit_of: Callable[[int], int | None]) -> None:
        self._limit_of = limit_of
        self.leased: dict[int, int] = {}

    async def lease(self, links: Sequence[tuple[int, int]]) -> dict[int, int]:
        await trio.lowlevel.checkpoint()
        granted = {}
        for _, link_id in links:
            limit = self._limit_of(link_id)
            leased = self.leased.get(link_id, 0)
            granted[link_id] = MAX_LEASE if limit is None else lease_of(max(0, limit - leased))
            if limit is not None:
                self.leased[link_id] = leased + granted[link_id]
        return granted

    async def give_back(self, unused: Sequence[tuple[int, int, int]]) -> None:
        await trio.lowlevel.checkpoint()
        for _, link_id, count in unused:
            self.leased[link_id] = max(0, self.leased.get(link_id, 0) - count)
