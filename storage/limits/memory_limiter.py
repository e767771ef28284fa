"""Rate limits in memory: the twin of storage/limits/redis_limiter.py."""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiters
from engine.limits.ports import Charge
from engine.limits.rate import RateDecision
from storage.limits.redis_limiter import check_charges

_MAX_SUBJECTS: Final = 100_000


class MemoryRateLimitServer:
    """The server of one or more limiters. While `down`, it does not answer."""

    def __init__(self) -> None:
        self.down = False
        self.limiters = LocalRateLimiters(_MAX_SUBJECTS, "deny")

    def flush(self) -> None:
        """Forget all charges, like FLUSHALL or a restart without a file."""
        self.limiters.clear()


class MemoryRateLimiter:
    """RateLimiter in memory. `clock_us` stands for the server's clock. Rates of one name must be equal."""

    def __init__(self, limits: MemoryRateLimitServer, clock_us: Callable[[], int]) -> None:
        self._limits = limits
        self._clock_us = clock_us

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        check_charges(charges)
        await trio.lowlevel.checkpoint()
        if self._limits.down:
            raise UnavailableError("Redis does not answer: it is down")
        return self._limits.limiters.decide(charges, self._clock_us())
