"""Shares of a connection pool: how many of its connections the transactions of one tenant use at once.

A tenant with many slow queries would otherwise hold every connection, and all other tenants would wait.
Runs on the host loop.
"""

import asyncio
from typing import Final

from engine.common.errors import TooSoonError
from engine.operations.metrics import Metric, Sample

MAX_WAITING: Final = 64  # transactions of one tenant that wait for a connection
RETRY_AFTER_S: Final = 1.0

REFUSED: Final = Metric(
    "waypost_database_share_refused_total",
    "Transactions refused, as others of their tenant used its whole share of the connections",
)


class _Share:
    """The connections of one tenant: the free ones, and the transactions that use or want one."""

    def __init__(self, size: int) -> None:
        self.free = asyncio.Semaphore(size)
        self.wanted = 0


class TenantShares:
    """Shares of a pool of `pool_size`: half of its connections for each tenant, at least one."""

    def __init__(self, pool_size: int) -> None:
        self.size = max(1, pool_size // 2)
        self._shares: dict[int, _Share] = {}
        self._refused = 0

    async def take(self, tenant_id: int, wait_s: float) -> None:
        """Take one connection of the tenant's share; give_back() returns it.

        Raises TooSoonError if none gets free within `wait_s`, or MAX_WAITING transactions of the tenant wait.
        """
        share = self._shares.get(tenant_id)
        if share is None:
            share = self._shares[tenant_id] = _Share(self.size)
        if share.wanted >= self.size + MAX_WAITING:
            raise self._refusal()
        share.wanted += 1
        try:
            async with asyncio.timeout(wait_s):
                await share.free.acquire()
        except BaseException as error:
            self._want_less(tenant_id, share)
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise

    def give_back(self, tenant_id: int) -> None:
        share = self._shares[tenant_id]
        share.free.release()
        self._want_less(tenant_id, share)

    def samples(self) -> list[Sample]:
        return [REFUSED.sample(self._refused)]

    def _want_less(self, tenant_id: int, share: _Share) -> None:
        share.wanted -= 1
        if not share.wanted:
            del self._shares[tenant_id]

    def _refusal(self) -> TooSoonError:
        self._refused += 1
        return TooSoonError(
            f"this tenant has {self.size} requests at the database already; send fewer at once",
            RETRY_AFTER_S,
        )
