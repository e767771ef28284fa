"""Circuit breakers: the requests that a webhook gets, by the results of its recent ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.circuit_breaker import FAILURE_THRESHOLD, MAX_OPEN_S, CircuitBreaker


def fail(breaker: CircuitBreaker, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        breaker.begin(now_s)
        breaker.end(now_s, succeeded=False)


def succeed(breaker: CircuitBreaker, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        breaker.begin(now_s)
        breaker.end(now_s, succeeded=True)


def test_successes_widen_the_window_up_to_max_concurrency() -> None:
    breaker = CircuitBreaker(4, 100)
    windows = []
    for _ in range(5):
        windows.append(breaker.permits(0))
        succeed(breaker, 1)
    assert windows == [2, 3, 4, 4, 4]
    for permitted in (4, 3, 2, 1):
        assert breaker.permits(0) == permitted
        breaker.begin(0)
    assert breaker.permits(0) == 0
    breaker.end(0, succeeded=True)
    assert breaker.permits(0) == 1


def test_failures_halve_the_window_and_then_open_the_breaker() -> None:
    breaker = CircuitBreaker(8, 1000)
    succeed(breaker, 6)
    windows = []
    for _ in range(FAILURE_THRESHOLD):
        windows.append(breaker.permits(0))
        fail(breaker, 1)
    assert windows == [8, 4, 2, 1, 1]
    assert breaker.is_open
    assert breaker.permits(4.9) == 0
    # Half-open: one request at a time, until one succeeds.
    assert breaker.permits(5.1) == 1
    breaker.begin(5.1)
    assert breaker.permits(5.1) == 0
    breaker.end(5.1, succeeded=True)
    assert breaker.permits(5.1) == 2
    assert breaker.is_idle


def test_a_max_concurrency_of_one_stays_one() -> None:
    breaker = CircuitBreaker(1, 1000)
    succeed(breaker, 3)
    assert breaker.permits(0) == 1


def test_a_changed_limit_holds_from_then_on() -> None:
    breaker = CircuitBreaker(8, 1000)
    succeed(breaker, 6)
    breaker.set_limits(3, 1000)
    assert breaker.permits(0) == 3
    succeed(breaker, 3)
    assert breaker.permits(0) == 3
    breaker.set_limits(5, 1000)
    succeed(breaker, 9)
    assert breaker.permits(0) == 5
    breaker.set_limits(5, 1)
    breaker.begin(10)
    breaker.begin(10)
    assert breaker.permits(10.9) == 0
    assert breaker.permits(11) == 1


@pytest.mark.parametrize(
    ("failures", "open_s"), [(5, 5), (6, 10), (7, 20), (8, 40), (9, 60), (99, 60)]
)
def test_the_breaker_opens_for_up_to_a_minute(failures: int, open_s: float) -> None:
    breaker = CircuitBreaker(8, 1000)
    fail(breaker, failures)
    assert breaker.permits(open_s - 0.01) == 0
    assert breaker.permits(open_s) == 1


@given(st.floats(0.5, 500), st.lists(st.floats(0, 2), max_size=60))
def test_starts_stay_within_the_rate_and_a_burst_of_one_second(
    rate: float, pauses: list[float]
) -> None:
    breaker, now, started = CircuitBreaker(1_000, rate), 1000.0, []
    for pause in pauses:
        now += pause
        while breaker.permits(now):
            breaker.begin(now)
            started.append(now)
            breaker.end(now, succeeded=True)
    for first in range(len(started)):
        for last in range(first, min(len(started), first + 50)):
            assert last - first <= rate * (started[last] - started[first] + 1) + 1e-3


@given(st.lists(st.booleans(), max_size=60))
def test_a_breaker_always_permits_a_request_after_the_longest_open_time(
    successes: list[bool],
) -> None:
    breaker, now = CircuitBreaker(8, 100), 0.0
    for succeeded in successes:
        if not breaker.permits(now):
            now += MAX_OPEN_S
        assert breaker.permits(now) >= 1
        breaker.begin(now)
        breaker.end(now, succeeded=succeeded)
    assert breaker.in_flight == 0
