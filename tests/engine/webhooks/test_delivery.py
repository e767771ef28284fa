"""When a delivery is tried again: the whole table, and its properties."""

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
answers = st.builds(
    AttemptResult,
    status=st.sampled_from([None, 100, 301, 400, 404, 429, 500, 502, 503, 504]),
    retry_after=st.sampled_from(["", "0", "7", "59", "1e9", "999999999", "soon", "-1"]),
    timed_out=st.booleans(),
)


def wait(tries: int, answer: AttemptResult = FAILED, jitter: float = 0.0) -> float | None:
    return delay_s(tries, answer, NOW, lambda: jitter)


def test_the_schedule() -> None:
    # 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: the first is at once, and then there are no more.
    assert RETRY_SCHEDULE_S[0] == 0
    assert [wait(tries) for tries in range(1, 9)] == [
        5, 300, 1800, 7200, 18000, 36000, 36000, None,
    ]  # fmt: skip
    assert MAX_TRIES == 8


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert AttemptResult(status).delivered
    assert wait(1, AttemptResult(status)) is None


@pytest.mark.parametrize(
    "status", [None, 100, 199, 300, 302, 304, 400, 401, 404, 410, 429, 500, 503]
)
def test_nothing_else_is(status: int | None) -> None:
    assert not AttemptResult(status).delivered


def test_410_is_the_end() -> None:
    assert wait(1, AttemptResult(410)) is None


@pytest.mark.parametrize(
    "answer",
    [
        AttemptResult(429),
        AttemptResult(502),
        AttemptResult(504),
        AttemptResult(None, "no answer", timed_out=True),
    ],
)
def test_who_has_too_much_to_do_is_left_alone_for_a_minute(answer: AttemptResult) -> None:
    assert wait(1, answer) == 60
    assert wait(1, answer, -1) == 60
    assert wait(2, answer) == 300
    assert wait(8, answer) is None


@pytest.mark.parametrize(
    ("header", "tries", "expected"),
    [("7", 1, 7), ("10", 1, 10), ("11", 1, 10), ("3600", 1, 10), ("3600", 3, 3600), ("3601", 3, 3600),
     ("1", 2, 300), ("0", 1, 5), ("7.5", 1, 7.5), ("soon", 1, 5), ("-7", 1, 5)],
)  # fmt: skip
def test_retry_after_lengthens_a_wait_up_to_twice(header: str, tries: int, expected: float) -> None:
    assert wait(tries, AttemptResult(503, retry_after=header)) == expected


@given(st.integers(1, MAX_TRIES - 1), answers, jitters)
def test_bounds(tries: int, answer: AttemptResult, jitter: float) -> None:
    base, found = RETRY_SCHEDULE_S[tries], wait(tries, answer, jitter)
    assert found is not None
    assert 0.8 * base <= found <= max(2 * base, 60)
    if not answer.retry_after and not answer.timed_out and answer.status not in (429, 502, 504):
        assert found == pytest.approx(base * (1 + 0.2 * jitter))


@pytest.mark.parametrize(
    ("answer", "delay", "state"),
    [(AttemptResult(200), None, "delivered"), (FAILED, 5.0, "pending"), (FAILED, None, "failed"),
     (AttemptResult(410), None, "failed")],
)  # fmt: skip
def test_the_state_after_an_attempt(answer: AttemptResult, delay: float | None, state: str) -> None:
    due = DueDelivery(
        1, 2, 3, 4, 5, 0, 1, "https://example.com/", False, None, None, (), "link.created", NOW, {}
    )
    attempt = Attempt(due, NOW, 1, answer, delay)
    assert (attempt.state, attempt.gone) == (state, answer.status == 410)
