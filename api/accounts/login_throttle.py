"""Rate limits of password attempts, and of requests for a reset's mail, per account and per client address.

Strangers can use up an account's limit and so lock its user out of logging in for a minute. That is the price
of keeping ten thousand addresses from guessing one account's password; sessions and API keys still work.
"""

from collections.abc import Sequence
from typing import Final

from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Rate, require_allowed
from engine.visits.client_address import network_of

ACCOUNT: Final = Rate("login-account", units=5, period_s=60)
ADDRESS: Final = Rate("login-address", units=20, period_s=60)
RESET_ACCOUNT: Final = Rate("reset-account", units=3, period_s=3_600)
RESET_ADDRESS: Final = Rate("reset-address", units=20, period_s=3_600)


class RateLimitedLogins:
    """LoginThrottle by the shared limiter. It fails closed: without Redis, nobody can log in."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def admit(self, email: str, address: str) -> None:
        """Charge one attempt. Raises TooSoonError, and UnavailableError without Redis."""
        charges = [Charge(ADDRESS, network_of(address))]
        if email:
            charges.append(Charge(ACCOUNT, email.lower()))
        await self._charge(charges)

    async def admit_reset(self, email: str, address: str) -> None:
        """Charge one request for a reset's mail, as admit()."""
        account = Charge(RESET_ACCOUNT, email.lower())
        await self._charge([Charge(RESET_ADDRESS, network_of(address)), account])

    async def _charge(self, charges: Sequence[Charge]) -> None:
        decisions = await self._limiter.decide(charges)
        require_allowed(
            [charge.rate for charge in charges], decisions, "too many attempts; see Retry-After"
        )
