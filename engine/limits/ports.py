"""Port of the shared rate limiter."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from engine.limits.rate import Quota, RateDecision


class Charge(NamedTuple):
    """`cost` units of `quota` for `subject`: a key's id, an address, an account."""

    quota: Quota
    subject: str
    cost: int = 1


class RateLimiter(Protocol):
    """Rate limits that all processes share."""

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        """A decision for each charge, in the order asked; by one clock, which is not the caller's.

        Each is decided and used up on its own, whatever becomes of the others: a request passes when
        all allow it. Raises ValueError for more than 16 charges, or a negative cost.
        """
