"""Lanes: how fast a webhook is called, by how it has answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.circuit_breaker import FAILURE_THRESHOLD, MAX_OPEN_S, CircuitBreaker


def failed(lane: CircuitBreaker, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        lane.begin(now_s)
        lane.end(now_s, succeeded=False)


def succeeded(lane: CircuitBreaker, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        lane.begin(now_s)
        lane.end(now_s, succeeded=True)


def test_a_receiver_that_works_gets_more_at_once_up_to_so_many() -> None:
    lane = CircuitBreaker(4, 100)
    rooms = []
    for _ in range(5):
        rooms.append(lane.permits(0))
        succeeded(lane, 1)
    assert rooms == [2, 3, 4, 4, 4]
    for left in (4, 3, 2, 1):
        assert lane.permits(0) == left
        lane.begin(0)
    assert lane.permits(0) == 0
    lane.end(0, succeeded=True)
    assert lane.permits(0) == 1


def test_one_that_fails_gets_fewer_and_then_rests() -> None:
    lane = CircuitBreaker(8, 1000)
    succeeded(lane, 6)
    rooms = []
    for _ in range(FAILURE_THRESHOLD):
        rooms.append(lane.permits(0))
        failed(lane, 1)
    assert rooms == [8, 4, 2, 1, 1]
    assert lane.is_open
    assert lane.permits(4.9) == 0
    # Then one at a time shows whether it is back.
    assert lane.permits(5.1) == 1
    lane.begin(5.1)
    assert lane.permits(5.1) == 0
    lane.end(5.1, succeeded=True)
    assert lane.permits(5.1) == 2
    assert lane.is_idle


def test_one_at_once_is_one_at_once() -> None:
    lane = CircuitBreaker(1, 1000)
    succeeded(lane, 3)
    assert lane.permits(0) == 1


def test_a_limit_that_is_changed_holds_from_then_on() -> None:
    lane = CircuitBreaker(8, 1000)
    succeeded(lane, 6)
    lane.set_limits(3, 1000)
    assert lane.permits(0) == 3
    succeeded(lane, 3)
    assert lane.permits(0) == 3
    lane.set_limits(5, 1000)
    succeeded(lane, 9)
    assert lane.permits(0) == 5
    lane.set_limits(5, 1)
    lane.begin(10)
    lane.begin(10)
    assert lane.permits(10.9) == 0
    assert lane.permits(11) == 1


@pytest.mark.parametrize(
    ("failures", "rest_s"), [(5, 5), (6, 10), (7, 20), (8, 40), (9, 60), (99, 60)]
)
def test_rests_grow_to_a_minute(failures: int, rest_s: float) -> None:
    lane = CircuitBreaker(8, 1000)
    failed(lane, failures)
    assert lane.permits(rest_s - 0.01) == 0
    assert lane.permits(rest_s) == 1


@given(st.floats(0.5, 500), st.lists(st.floats(0, 2), max_size=60))
def test_no_more_than_the_rate_and_a_seconds_burst(rate: float, pauses: list[float]) -> None:
    lane, now, begun = CircuitBreaker(1_000, rate), 1000.0, []
    for pause in pauses:
        now += pause
        while lane.permits(now):
            lane.begin(now)
            begun.append(now)
            lane.end(now, succeeded=True)
    for first in range(len(begun)):
        for last in range(first, min(len(begun), first + 50)):
            assert last - first <= rate * (begun[last] - begun[first] + 1) + 1e-3


@given(st.lists(st.booleans(), max_size=60))
def test_it_always_comes_to_a_next_attempt(answers: list[bool]) -> None:
    lane, now = CircuitBreaker(8, 100), 0.0
    for good in answers:
        if not lane.permits(now):
            now += MAX_OPEN_S
        assert lane.permits(now) >= 1
        lane.begin(now)
        lane.end(now, succeeded=good)
    assert lane.in_flight == 0
