"""Port of a rate limiter that processes may share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from engine.limits.rate import Rate, RateDecision


class Charge(NamedTuple):
    """`cost` units of `rate` to charge to `subject`: an API key's id, an address, an account."""

    rate: Rate
    subject: str
    cost: int = 1


class RateLimiter(Protocol):
    """A limiter of charges. A shared one decides for all processes, by its server's clock."""

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        """Return a decision for each charge, in their order.

        Each charge is decided and used up independently of the others; a request passes if all its charges
        are allowed. Raises ValueError for more than 16 charges or a negative cost, and UnavailableError if
        the limiter's server does not answer.
        """
