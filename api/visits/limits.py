"""How often one address may ask at the visitors' door: a limit of this process alone.

It keeps one sender from taking the door's time from all others; it is no account of anybody, so nothing
is shared and nothing stored. Addresses of this machine are not limited, unless a trusted proxy says whom
it speaks for. When too many addresses come at once, newcomers pass: a link that works is worth more.
"""

from typing import Final

from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Quota
from engine.visits.request import ClientInfo

MAX_ADDRESSES: Final = 100_000


class VisitRateLimiter:
    """`per_second` requests an address (of IPv6 the /64), as many at once; 0 limits nobody."""

    def __init__(self, per_second: int) -> None:
        quota = Quota("visits", limit=per_second, period_s=1) if per_second else None
        self._rate = LocalRateLimiter(quota, MAX_ADDRESSES, "allow") if quota else None

    @property
    def enabled(self) -> bool:
        return self._rate is not None

    def admits(self, origin: ClientInfo, now_us: int) -> bool:
        """Count one request. `now_us`: a monotonic clock's."""
        if self._rate is None or origin.rate_limit_subject is None:
            return True
        return self._rate.decide(origin.rate_limit_subject, now_us).allowed

    def metrics(self) -> dict[str, int]:
        """Of `engine.limits.local_limiter`; empty when nobody is limited."""
        return self._rate.metrics() if self._rate else {}
