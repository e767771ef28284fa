"""A shared rate limiter as one process uses it: credit in front of it, the process alone behind it."""

from collections.abc import Callable, Sequence
from typing import Final

from engine.common.errors import UnavailableError
from engine.limits.credit import RateLimitCredit
from engine.limits.local_limiter import LocalRateLimiters
from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import RateDecision

BACK_OFF_US: Final = 1_000_000


class LayeredRateLimiter:
    """RateLimiter that asks `shared` only if credit does not suffice, and decides alone while it is away.

    An unavailable limiter is left alone for a second. Meanwhile n processes allow up to n times the rate.
    `clock_us` is a monotonic clock's; no more than `max_subjects` are kept in either layer. `on_alone` is
    called for each decision that this process makes alone.
    """

    def __init__(
        self,
        shared: RateLimiter,
        max_subjects: int,
        clock_us: Callable[[], int],
        on_alone: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._clock_us = clock_us
        self._credit = RateLimitCredit(max_subjects)
        self._local = LocalRateLimiters(max_subjects, "allow")
        self._away_until_us = 0
        self._on_alone = on_alone

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        decisions = self._credit.spend(charges, self._clock_us())
        if decisions is not None:
            return decisions
        if self._clock_us() >= self._away_until_us:
            try:
                return await self._credit.charge(self._shared, charges, self._clock_us)
            except UnavailableError:
                self._away_until_us = self._clock_us() + BACK_OFF_US
        self._on_alone()
        return self._local.decide(charges, self._clock_us())
