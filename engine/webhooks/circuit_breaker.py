"""Circuit breaker of one webhook: concurrency window, rate and back-off.

A receiver gets INITIAL_WINDOW concurrent requests at first, one more after each success up to
`max_concurrency`, and half as many after a failure; and no more than `rate_per_s`. So a receiver that hangs
from the start takes few of a courier's requests, and delays no other receiver. After FAILURE_THRESHOLD failures
in a row the breaker opens: it permits no request for a while. Then it is half-open and permits one request at
a time: a success closes it, a failure opens it again for longer.

An open breaker postpones attempts and uses up none. Times are seconds of a monotonic clock.
"""

from typing import Final

INITIAL_WINDOW: Final = 2
FAILURE_THRESHOLD: Final = 5
OPEN_S: Final = 5.0
MAX_OPEN_S: Final = 60.0
BURST_S: Final = 1.0


class CircuitBreaker:
    """The circuit breaker of one webhook. `failures` counts those in a row, `in_flight` the requests under
    way."""

    __slots__ = (
        "_interval_s", "_max_concurrency", "_next_s", "_open_until_s", "_window", "failures",
        "in_flight",
    )  # fmt: skip

    def __init__(self, max_concurrency: int, rate_per_s: float) -> None:
        self._window = INITIAL_WINDOW
        self.set_limits(max_concurrency, rate_per_s)
        self._next_s = 0.0
        self._open_until_s = 0.0
        self.failures = 0
        self.in_flight = 0

    def set_limits(self, max_concurrency: int, rate_per_s: float) -> None:
        """Set the limits of the requests that begin from now on: concurrent ones, and requests per second."""
        self._max_concurrency = max_concurrency
        self._window = min(self._window, max_concurrency)
        self._interval_s = 1 / rate_per_s

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half-open."""
        return self.failures >= FAILURE_THRESHOLD

    @property
    def is_idle(self) -> bool:
        """Whether the breaker can be dropped: no request in flight and no failure to remember."""
        return not self.in_flight and not self.failures

    def rest_s(self, now_s: float) -> float:
        """Return for how many seconds no request may begin."""
        return max(0.0, self._open_until_s - now_s)

    def permits(self, now_s: float) -> int:
        """Return how many requests may begin now."""
        if now_s < self._open_until_s:
            return 0
        concurrency = 1 if self.is_open else self._window
        within_rate = int((now_s + BURST_S - self._next_s) // self._interval_s) + 1
        return max(0, min(concurrency - self.in_flight, within_rate))

    def begin(self, now_s: float) -> None:
        """Count a request that begins."""
        self.in_flight += 1
        self._next_s = max(self._next_s, now_s) + self._interval_s

    def end(self, now_s: float, *, succeeded: bool, scale: float = 1.0) -> None:
        """Count a request that has ended. `scale` is a factor of the time for which the breaker opens."""
        self.in_flight -= 1
        if succeeded:
            self.failures, self._open_until_s = 0, 0.0
            self._window = min(self._max_concurrency, self._window + 1)
            return
        self.failures += 1
        self._window = max(1, self._window // 2)
        if self.is_open:
            open_s = min(MAX_OPEN_S, OPEN_S * 2.0 ** min(self.failures - FAILURE_THRESHOLD, 10))
            self._open_until_s = now_s + open_s * scale
