"""How often a password may be tried: per account and per address, whichever is used up first.

A limit that others can use up locks out the account's own user for its while. That is the price of
keeping ten thousand addresses from trying one account; sessions and keys go on meanwhile.
"""

from typing import Final

from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Quota, retry_after_s
from engine.visits.client_address import network_of

ACCOUNT: Final = Quota("login-account", limit=5, period_s=60)
ADDRESS: Final = Quota("login-address", limit=20, period_s=60)


class RateLimitedLogins:
    """LoginThrottle by limits that all processes share. They fail closed: no Redis, no logins."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def admit(self, email: str, address: str) -> float:
        charges = [Charge(ADDRESS, network_of(address))]
        if email:
            charges.append(Charge(ACCOUNT, email.lower()))
        return retry_after_s(await self._limiter.decide(charges)) or 0.0
