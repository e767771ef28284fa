"""A shared rate limiter with two layers in the process: credit in front of it, a local limiter as fallback."""

from collections.abc import Callable, Sequence
from typing import Final

from engine.common.errors import UnavailableError
from engine.limits.credit import RateLimitCredit
from engine.limits.local_limiter import LocalRateLimiters
from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import RateDecision

BACK_OFF_US: Final = 1_000_000


class LayeredRateLimiter:
    """RateLimiter that calls `shared` only if credit does not suffice, and decides locally while `shared` is
    unavailable.

    After an error it does not call `shared` for a second. Meanwhile n processes allow up to n times the rate.
    `clock_us` reads a monotonic clock. Each layer keeps at most `max_subjects` subjects. `on_local_decision` is
    called for each call that the local limiter decides.
    """

    def __init__(
        self,
        shared: RateLimiter,
        max_subjects: int,
        clock_us: Callable[[], int],
        on_local_decision: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._clock_us = clock_us
        self._credit = RateLimitCredit(max_subjects)
        self._local = LocalRateLimiters(max_subjects, "allow")
        self._unavailable_until_us = 0
        self._on_local_decision = on_local_decision

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        decisions = self._credit.spend(charges, self._clock_us())
        if decisions is not None:
            return decisions
        if self._clock_us() >= self._unavailable_until_us:
            try:
                return await self._credit.charge(self._shared, charges, self._clock_us)
            except UnavailableError:
                self._unavailable_until_us = self._clock_us() + BACK_OFF_US
        self._on_local_decision()
        return self._local.decide(charges, self._clock_us())
