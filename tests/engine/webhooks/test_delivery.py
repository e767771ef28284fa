"""The retry schedule of deliveries: the whole table, and its properties."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.delivery import (
    MAX_TRIES,
    RETRY_SCHEDULE_S,
    Attempt,
    AttemptResult,
    DueDelivery,
    delay_s,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FAILED = AttemptResult(500)
jitters = st.floats(-1, 1, exclude_max=True)
results = st.builds(
    AttemptResult,
    status=st.sampled_from([None, 100, 301, 400, 404, 429, 500, 502, 503, 504]),
    retry_after=st.sampled_from(["", "0", "7", "59", "1e9", "999999999", "soon", "-1"]),
    timed_out=st.booleans(),
)


def wait(tries: int, result: AttemptResult = FAILED, jitter: float = 0.0) -> float | None:
    return delay_s(tries, result, NOW, lambda: jitter)


def test_the_schedule_has_eight_attempts() -> None:
    # 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h.
    assert RETRY_SCHEDULE_S[0] == 0
    assert [wait(tries) for tries in range(1, 9)] == [
        5, 300, 1800, 7200, 18000, 36000, 36000, None,
    ]  # fmt: skip
    assert MAX_TRIES == 8


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_delivers(status: int) -> None:
    assert AttemptResult(status).delivered
    assert wait(1, AttemptResult(status)) is None


@pytest.mark.parametrize(
    "status", [None, 100, 199, 300, 302, 304, 400, 401, 404, 410, 429, 500, 503]
)
def test_no_other_status_delivers(status: int | None) -> None:
    assert not AttemptResult(status).delivered


def test_410_ends_the_delivery() -> None:
    assert wait(1, AttemptResult(410)) is None


@pytest.mark.parametrize(
    "result",
    [
        AttemptResult(429),
        AttemptResult(502),
        AttemptResult(504),
        AttemptResult(None, "no answer", timed_out=True),
    ],
)
def test_an_overloaded_receiver_gets_no_request_for_a_minute(result: AttemptResult) -> None:
    assert wait(1, result) == 60
    assert wait(1, result, -1) == 60
    assert wait(2, result) == 300
    assert wait(8, result) is None


@pytest.mark.parametrize(
    ("header", "tries", "expected"),
    [("7", 1, 7), ("10", 1, 10), ("11", 1, 10), ("3600", 1, 10), ("3600", 3, 3600), ("3601", 3, 3600),
     ("1", 2, 300), ("0", 1, 5), ("7.5", 1, 7.5), ("soon", 1, 5), ("-7", 1, 5)],
)  # fmt: skip
def test_retry_after_lengthens_a_wait_to_at_most_twice_its_length(
    header: str, tries: int, expected: float
) -> None:
    assert wait(tries, AttemptResult(503, retry_after=header)) == expected


@given(st.integers(1, MAX_TRIES - 1), results, jitters)
def test_a_wait_stays_within_bounds(tries: int, result: AttemptResult, jitter: float) -> None:
    base, wait_s = RETRY_SCHEDULE_S[tries], wait(tries, result, jitter)
    assert wait_s is not None
    assert 0.8 * base <= wait_s <= max(2 * base, 60)
    if not result.retry_after and not result.timed_out and result.status not in (429, 502, 504):
        assert wait_s == pytest.approx(base * (1 + 0.2 * jitter))


@pytest.mark.parametrize(
    ("result", "delay", "state"),
    [(AttemptResult(200), None, "delivered"), (FAILED, 5.0, "pending"), (FAILED, None, "failed"),
     (AttemptResult(410), None, "failed")],
)  # fmt: skip
def test_the_state_after_an_attempt(result: AttemptResult, delay: float | None, state: str) -> None:
    due = DueDelivery(
        1, 2, 3, 4, 5, 0, 1, "https://example.com/", False, None, None, (), "link.created", NOW, {}
    )
    attempt = Attempt(due, NOW, 1, result, delay)
    assert (attempt.state, attempt.gone) == (state, result.status == 410)
