"""The in-memory twin of storage/limits/redis_limiter.py."""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.ports import Charge
from engine.limits.rate import RateDecision
from storage.limits.redis_limiter import check_charges

_MAX_SUBJECTS: Final = 100_000


class MemoryRateLimitServer:
    """The server: several limiters may share it. While `down`, it does not answer."""

    def __init__(self) -> None:
        self.down = False
        self.rates: dict[str, LocalRateLimiter] = {}

    def flush(self) -> None:
        """As FLUSHALL, or a restart without a file."""
        self.rates.clear()


class MemoryRateLimiter:
    """`RateLimiter` in memory. `clock_us` stands for the server's clock. A quota's name has one
    meaning."""

    def __init__(self, limits: MemoryRateLimitServer, clock_us: Callable[[], int]) -> None:
        self._limits = limits
        self._clock_us = clock_us

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        check_charges(charges)
        await trio.lowlevel.checkpoint()
        if self._limits.down:
            raise UnavailableError("Redis does not answer: it is down")
        now_us = self._clock_us()
        return [self._decide(charge, now_us) for charge in charges]

    def _decide(self, charge: Charge, now_us: int) -> RateDecision:
        rates = self._limits.rates
        rate = rates.get(charge.quota.name)
        if rate is None:
            rate = rates[charge.quota.name] = LocalRateLimiter(charge.quota, _MAX_SUBJECTS, "deny")
        return rate.decide(charge.subject, now_us, charge.cost)
