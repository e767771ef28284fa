"""Rate limits of passwords: per account and per address, whichever is used up first.

Other people can use up an account's limit and lock its user out for that while. That is the price of keeping
ten thousand addresses from trying one account; sessions and API keys go on meanwhile.
"""

from typing import Final

from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Rate, require_allowed
from engine.visits.client_address import network_of

ACCOUNT: Final = Rate("login-account", units=5, period_s=60)
ADDRESS: Final = Rate("login-address", units=20, period_s=60)


class RateLimitedLogins:
    """LoginThrottle by the shared limiter. It fails closed: without Redis, nobody logs in."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def admit(self, email: str, address: str) -> None:
        charges = [Charge(ADDRESS, network_of(address))]
        if email:
            charges.append(Charge(ACCOUNT, email.lower()))
        decisions = await self._limiter.decide(charges)
        require_allowed(
            [charge.rate for charge in charges], decisions, "too many tries; wait a little"
        )
