"""Port of a rate limiter that several processes may share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from engine.limits.rate import Rate, RateDecision


class Charge(NamedTuple):
    """`cost` units of `rate` for `subject`: an API key's id, an address, an account."""

    rate: Rate
    subject: str
    cost: int = 1


class RateLimiter(Protocol):
    """Decides charges. A shared one decides for all processes, by one clock that is not the caller's."""

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        """Return a decision for each charge, in their order.

        Each is decided and used up on its own, whatever becomes of the others: a request passes when
        all allow it. Raises ValueError for more than 16 charges, or a negative cost, and
        UnavailableError when the limiter's server does not answer.
        """
