"""Layers of a rate limiter: credit first, then the shared limiter, then the local one."""

from collections.abc import Sequence

import pytest

from engine.common.errors import UnavailableError
from engine.limits.layered_limiter import BACK_OFF_US, LayeredRateLimiter
from engine.limits.local_limiter import LocalRateLimiters
from engine.limits.ports import Charge
from engine.limits.rate import Rate, RateDecision

SMALL = Rate("small", units=3, period_s=60)
LARGE = Rate("large", units=6_000, period_s=60)


class Layers:
    """A shared limiter, which is this object and can be unavailable, and one process in front of it."""

    def __init__(self) -> None:
        self.now_us = 1_000_000
        self.unavailable = False
        self.calls = self.local_decisions = 0
        self._server = LocalRateLimiters(100, "deny")
        self.limiter = LayeredRateLimiter(self, 100, lambda: self.now_us, self._count)

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        self.calls += 1
        if self.unavailable:
            raise UnavailableError("Redis does not answer")
        return self._server.decide(charges, self.now_us)

    def _count(self) -> None:
        self.local_decisions += 1

    async def allows(self, rate: Rate, times: int) -> list[bool]:
        charges = [Charge(rate, "key:1")]
        return [(await self.limiter.decide(charges))[0].allowed for _ in range(times)]


async def test_a_small_rate_is_always_decided_by_the_shared_limiter() -> None:
    layers = Layers()
    assert await layers.allows(SMALL, 4) == [True, True, True, False]
    assert (layers.calls, layers.local_decisions) == (4, 0)


async def test_with_plenty_left_one_request_in_ten_calls_the_shared_limiter() -> None:
    layers = Layers()
    assert all(await layers.allows(LARGE, 50))
    assert layers.calls == 5


async def test_an_unavailable_limiter_is_not_called_for_a_second() -> None:
    layers = Layers()
    layers.unavailable = True
    assert await layers.allows(SMALL, 4) == [True, True, True, False]
    assert (layers.calls, layers.local_decisions) == (1, 4)
    layers.now_us += BACK_OFF_US
    layers.unavailable = False
    assert await layers.allows(SMALL, 1) == [True], (
        "local decisions do not reach the shared limiter"
    )
    assert (layers.calls, layers.local_decisions) == (2, 4)


async def test_other_errors_are_raised() -> None:
    layers = Layers()
    with pytest.raises(ValueError, match="negative"):
        await layers.limiter.decide([Charge(SMALL, "key:1", -1)])
