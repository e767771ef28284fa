"""A lane: how fast one webhook may be called, by how it has answered. So that one slow receiver delays nobody.

A receiver that works gets `each` requests at once and `rate_per_s` of them. With each failure in a row it
gets fewer at once, down to one. After TRIP of them the breaker opens: it rests, longer each time, and then
one request at a time shows whether it is back. A success gives it everything again.

A rest postpones attempts and uses up none. Times are seconds of any clock that does not jump.
"""

from typing import Final

TRIP: Final = 5
REST_S: Final = 5.0
MAX_REST_S: Final = 60.0
BURST_S: Final = 1.0


class Lane:
    """One webhook's. `in_flight` is how many requests are under way."""

    __slots__ = ("_each", "_interval_s", "_next_s", "_rest_until_s", "failures", "in_flight")

    def __init__(self, each: int, rate_per_s: float) -> None:
        self._each = each
        self._interval_s = 1 / rate_per_s
        self._next_s = 0.0
        self._rest_until_s = 0.0
        self.failures = 0
        self.in_flight = 0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is: it rests, or is tried with one request."""
        return self.failures >= TRIP

    @property
    def is_idle(self) -> bool:
        return not self.in_flight and not self.failures

    def room(self, now_s: float) -> int:
        """How many requests may begin now."""
        if now_s < self._rest_until_s:
            return 0
        most = 1 if self.is_open else max(1, self._each // (1 + self.failures))
        paid = int((now_s + BURST_S - self._next_s) / self._interval_s) + 1
        return max(0, min(most - self.in_flight, paid))

    def begin(self, now_s: float) -> None:
        self.in_flight += 1
        self._next_s = max(self._next_s, now_s) + self._interval_s

    def end(self, now_s: float, *, good: bool, scale: float = 1.0) -> None:
        """A request has ended. `scale` shortens a rest, for who lets time pass faster."""
        self.in_flight -= 1
        if good:
            self.failures, self._rest_until_s = 0, 0.0
            return
        self.failures += 1
        if self.is_open:
            rest_s = min(MAX_REST_S, REST_S * 2.0 ** min(self.failures - TRIP, 10))
            self._rest_until_s = now_s + rest_s * scale
