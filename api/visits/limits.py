"""Rate limit of visitors: requests per second and address, in this edge's memory alone.

It keeps one sender from taking an edge's time from all others, so nothing is shared and nothing stored.
Addresses of this machine are not limited, unless a trusted proxy names the client that it speaks for. When
too many addresses come at once, newcomers pass: a link that works is worth more.
"""

from typing import Final

from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample
from engine.visits.request import ClientInfo

MAX_ADDRESSES: Final = 100_000

UNTRACKED_VISITS: Final = Metric(
    "waypost_visits_untracked_total",
    "Visits that passed unlimited, as more addresses came than the rate limiter holds",
)


class VisitRateLimiter:
    """`per_second` requests of an address, of IPv6 one /64, with a burst as large; 0: no limit."""

    def __init__(self, per_second: int) -> None:
        rate = Rate("visits", units=per_second, period_s=1) if per_second else None
        self._limiter = LocalRateLimiter(rate, MAX_ADDRESSES, "allow") if rate else None

    @property
    def enabled(self) -> bool:
        return self._limiter is not None

    def admits(self, client: ClientInfo, now_us: int) -> bool:
        """Charge one request; False if its sender has none left. `now_us` is a monotonic clock's."""
        if self._limiter is None or client.rate_limit_subject is None:
            return True
        return self._limiter.admits(client.rate_limit_subject, now_us)

    def samples(self) -> list[Sample]:
        return [UNTRACKED_VISITS.sample(self._limiter.counts["full"] if self._limiter else 0)]
