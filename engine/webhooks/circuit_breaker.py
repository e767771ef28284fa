"""A lane: how fast one webhook may be called, by how it has answered. So that one slow receiver delays nobody.

A receiver gets FIRST requests at once, one more with each success up to `each`, and half as many after a
failure; and no more than `rate_per_s` of them. So one that is not known to answer holds up little. After
TRIP failures in a row the breaker opens: it rests, longer each time, and then one request at a time shows
whether it is back.

A rest postpones attempts and uses up none. Times are seconds of any clock that does not jump.
"""

from typing import Final

INITIAL_WINDOW: Final = 2
FAILURE_THRESHOLD: Final = 5
OPEN_S: Final = 5.0
MAX_OPEN_S: Final = 60.0
BURST_S: Final = 1.0


class CircuitBreaker:
    """One webhook's. `in_flight` is how many requests are under way."""

    __slots__ = (
        "_each", "_interval_s", "_next_s", "_rest_until_s", "_window", "failures", "in_flight",
    )  # fmt: skip

    def __init__(self, each: int, rate_per_s: float) -> None:
        self._window = INITIAL_WINDOW
        self.set_limits(each, rate_per_s)
        self._next_s = 0.0
        self._rest_until_s = 0.0
        self.failures = 0
        self.in_flight = 0

    def set_limits(self, each: int, rate_per_s: float) -> None:
        """From now on, so many requests at once and a second."""
        self._each = each
        self._window = min(self._window, each)
        self._interval_s = 1 / rate_per_s

    @property
    def is_open(self) -> bool:
        """Whether the breaker is: it rests, or is tried with one request."""
        return self.failures >= FAILURE_THRESHOLD

    @property
    def is_idle(self) -> bool:
        return not self.in_flight and not self.failures

    def permits(self, now_s: float) -> int:
        """How many requests may begin now."""
        if now_s < self._rest_until_s:
            return 0
        most = 1 if self.is_open else self._window
        paid = int((now_s + BURST_S - self._next_s) // self._interval_s) + 1
        return max(0, min(most - self.in_flight, paid))

    def begin(self, now_s: float) -> None:
        self.in_flight += 1
        self._next_s = max(self._next_s, now_s) + self._interval_s

    def end(self, now_s: float, *, succeeded: bool, scale: float = 1.0) -> None:
        """A request has ended. `scale` shortens a rest, for who lets time pass faster."""
        self.in_flight -= 1
        if succeeded:
            self.failures, self._rest_until_s = 0, 0.0
            self._window = min(self._each, self._window + 1)
            return
        self.failures += 1
        self._window = max(1, self._window // 2)
        if self.is_open:
            rest_s = min(MAX_OPEN_S, OPEN_S * 2.0 ** min(self.failures - FAILURE_THRESHOLD, 10))
            self._rest_until_s = now_s + rest_s * scale
