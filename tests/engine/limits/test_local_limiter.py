"""The rate limit of one process: exact for every kept subject, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits.local_limiter import LocalRateLimiter, LocalRateLimiters
from engine.limits.ports import Charge
from engine.limits.rate import Rate, RateDecision, decide

S = 1_000_000
NOW = 1_000 * S
# One unit per second, three at once.
RATE = Rate("visitor", 60, 60, 3)

requests = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 2 * S), st.integers(0, 4)), max_size=120
)


@given(requests)
def test_each_subject_is_decided_independently_and_never_forgotten(
    charges: list[tuple[int, int, int]],
) -> None:
    limiter = LocalRateLimiter(RATE, 100, "deny")
    tats_us: dict[int, int] = {}
    now_us = NOW
    for subject, wait_us, cost in charges:
        now_us += wait_us
        expected = decide(RATE, tats_us.get(subject, 0), now_us, cost)
        assert limiter.decide(subject, now_us, cost) == expected
        if expected.allowed:
            tats_us[subject] = now_us + expected.reset_after_us


@given(requests, st.integers(1, 4))
def test_admitting_is_deciding_on_one_unit(
    charges: list[tuple[int, int, int]], max_subjects: int
) -> None:
    one, two = (LocalRateLimiter(RATE, max_subjects, "deny") for _ in range(2))
    now_us = NOW
    for subject, wait_us, step in charges:
        now_us += wait_us // 8 - step * 1_000  # a clock may go back
        assert one.admits(subject, now_us) == two.decide(subject, now_us).allowed
        assert (one._tats_us, one.counts) == (two._tats_us, two.counts)


@given(requests, st.integers(1, 4), st.booleans())
def test_the_bound_holds_and_no_kept_subject_is_forgotten_early(
    charges: list[tuple[int, int, int]], max_subjects: int, allow: bool
) -> None:
    limiter = LocalRateLimiter(RATE, max_subjects, "allow" if allow else "deny")
    tats_us: dict[int, int] = {}
    now_us = NOW
    for subject, wait_us, cost in charges:
        now_us += wait_us
        full_before = limiter.counts["full"]
        decision = limiter.decide(subject, now_us, cost)
        assert limiter.subjects <= max_subjects
        if limiter.counts["full"] > full_before:
            # Only a new subject is not kept, and only if all kept ones are in use.
            assert tats_us.get(subject, 0) <= now_us
            assert sum(tat_us > now_us for tat_us in tats_us.values()) == max_subjects
            assert decision.allowed == allow
            continue
        assert decision == decide(RATE, tats_us.get(subject, 0), now_us, cost)
        if decision.allowed:
            tats_us[subject] = now_us + decision.reset_after_us


def test_a_new_subject_without_room_is_decided_by_when_full_and_counted() -> None:
    for when_full, expected in [
        ("allow", RateDecision(True, 3, 2, 0, S)),
        ("deny", RateDecision(False, 3, 0, S, 3 * S)),
    ]:
        limiter = LocalRateLimiter(RATE, 2, when_full)  # type: ignore[arg-type]
        for subject in "ab":
            assert limiter.decide(subject, NOW, 3).allowed
        assert limiter.decide("c", NOW) == expected
        assert not limiter.decide("a", NOW).allowed
        denied = 1 + (when_full == "deny")
        assert limiter.subjects == 2
        assert limiter.counts == {"denied": denied, "forgotten": 0, "full": 1}
        # The TATs of a and b have passed: there is room again.
        assert limiter.decide("c", NOW + 3 * S).allowed
        assert limiter.decide("c", NOW + 3 * S, 2).allowed
        assert not limiter.decide("c", NOW + 3 * S).allowed


def test_a_cost_of_zero_and_a_denied_cost_take_no_room() -> None:
    limiter = LocalRateLimiter(RATE, 2, "deny")
    for subject in range(10):
        assert limiter.decide(subject, NOW, 0).allowed
        assert not limiter.decide(subject, NOW, 4).allowed
    assert limiter.subjects == 0


def test_subjects_with_a_passed_tat_take_no_more_room_than_those_in_use() -> None:
    limiter = LocalRateLimiter(RATE, 100_000, "deny")
    in_use = 1_000
    for number in range(20_000):
        # Each subject is in use for a second, and a thousand subjects come per second.
        assert limiter.decide(number, NOW + number * S // in_use).allowed
    assert limiter.subjects <= 2 * in_use
    assert limiter.subjects + limiter.counts["forgotten"] == 20_000


def test_a_limiter_without_room_for_any_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="max_subjects"):
        LocalRateLimiter(RATE, 0, "deny")


def test_a_peek_decides_and_charges_nothing() -> None:
    limiter = LocalRateLimiter(RATE, 100, "deny")
    assert all(limiter.peek("a", NOW, RATE.burst).allowed for _ in range(3))
    limiter.decide("a", NOW, RATE.burst)
    denied = limiter.peek("a", NOW)
    assert denied == limiter.decide("a", NOW)
    assert denied.retry_after_us == RATE.interval_us
    assert limiter.peek("a", NOW + RATE.interval_us).allowed
    assert limiter.subjects == 1


def test_each_rate_is_limited_independently() -> None:
    limiters = LocalRateLimiters(100, "allow")
    other = Rate("other", 1, 60)
    charges = [Charge(RATE, "a", RATE.burst), Charge(other, "a")]
    for _ in range(2):
        assert [decision.allowed for decision in limiters.decide(charges, NOW)] == [True, True]
        assert [decision.allowed for decision in limiters.decide(charges, NOW)] == [False, False]
        limiters.clear()
