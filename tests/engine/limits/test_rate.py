"""GCRA: cases worked out by hand, equality with a token bucket, and the header fields of a response."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.errors import TooSoonError
from engine.limits.rate import (
    Rate,
    RateDecision,
    decide,
    header_fields,
    require_allowed,
    retry_after_s,
)

S = 1_000_000
# TATs of a real clock are large numbers.
NOW = 1_790_000_000 * S
# One unit every two seconds, three at once.
RATE = Rate("small", 30, 60, 3)

# Seconds since the start and cost; then allowed, remaining, retry after and reset after in seconds.
STEPS = [
    (0, 0, True, 3, 0, 0),
    (0, 4, False, 3, None, 0),
    (0, 1, True, 2, 0, 2),
    (0, 1, True, 1, 0, 4),
    (1, 2, False, 1, 1, 3),
    (1, 0, True, 1, 0, 3),
    (1.5, 1, True, 0, 0, 4.5),
    (2, 1, True, 0, 0, 6),
    (2.5, 1, False, 0, 1.5, 5.5),
    (2.5, 3, False, 0, 5.5, 5.5),
    (2.5, 4, False, 0, None, 5.5),
    (4, 1, True, 0, 0, 6),
    (10, 3, True, 0, 0, 6),
    (100, 1, True, 2, 0, 2),
]


def test_steps_worked_out_by_hand() -> None:
    tat_us = 0
    for seconds, cost, allowed, remaining, retry_s, reset_s in STEPS:
        now_us = NOW + int(seconds * S)
        decision = decide(RATE, tat_us, now_us, cost)
        retry_us = None if retry_s is None else round(retry_s * S)
        reset_us = round(reset_s * S)
        assert decision == RateDecision(allowed, 3, remaining, retry_us, reset_us), seconds
        if decision.allowed:
            tat_us = now_us + decision.reset_after_us


rates = st.builds(
    lambda limit, period_s, burst: Rate("q", limit, period_s, min(burst, limit)),
    st.integers(1, 500),
    st.integers(1, 3_600),
    st.integers(0, 20),
)
waits = st.one_of(st.just(0), st.integers(0, 5 * S), st.integers(0, 4_000 * S))


@given(rates, st.lists(st.tuples(waits, st.integers(0, 22)), max_size=60))
def test_decisions_equal_those_of_a_token_bucket(
    rate: Rate, charges: list[tuple[int, int]]
) -> None:
    tokens, now_us, tat_us = Fraction(rate.burst), NOW, 0
    for wait_us, cost in charges:
        now_us += wait_us
        tokens = min(Fraction(rate.burst), tokens + Fraction(wait_us, rate.interval_us))
        decision = decide(rate, tat_us, now_us, cost)
        assert decision.allowed == (cost <= tokens)
        if decision.allowed:
            tokens -= cost
            tat_us = now_us + decision.reset_after_us
        assert decision.remaining == tokens.numerator // tokens.denominator
        assert decision.reset_after_us == (rate.burst - tokens) * rate.interval_us


@given(rates, st.integers(-(10**9), 10**10), st.integers(1, 20))
def test_retry_after_is_the_first_moment_at_which_the_cost_is_allowed(
    rate: Rate, ahead_us: int, cost: int
) -> None:
    decision = decide(rate, NOW + ahead_us, NOW, cost)
    if decision.allowed:
        assert decision.retry_after_us == 0
    elif decision.retry_after_us is None:
        assert cost > rate.burst
        assert not decide(rate, NOW + ahead_us, NOW + 10**15, cost).allowed
    else:
        # A TAT beyond the tolerance counts as the tolerance, which is then stored.
        tat_us = NOW + decision.reset_after_us
        moment_us = NOW + decision.retry_after_us
        assert decide(rate, tat_us, moment_us, cost).allowed
        assert not decide(rate, tat_us, moment_us - 1, cost).allowed


@given(rates, st.integers(1, 10))
def test_in_the_long_run_the_limit_is_never_exceeded_and_nearly_reached(
    rate: Rate, periods: int
) -> None:
    end_us = NOW + periods * rate.period_s * S
    now_us, tat_us, passed = NOW, 0, 0
    while True:
        decision = decide(rate, tat_us, now_us)
        if decision.allowed:
            passed, tat_us = passed + 1, now_us + decision.reset_after_us
            continue
        assert decision.retry_after_us
        now_us += decision.retry_after_us
        if now_us >= end_us or passed > 2_000:
            break
    elapsed_us = min(now_us, end_us) - NOW
    earned = Fraction(elapsed_us * rate.units, rate.period_s * S)
    assert 0.99 * earned - 1 <= passed - rate.burst <= earned


def test_a_clock_that_went_back_locks_no_subject_out() -> None:
    year_us = 365 * 86_400 * S
    decision = decide(RATE, NOW + year_us, NOW)
    assert decision == RateDecision(False, 3, 0, 2 * S, 6 * S)
    assert decide(RATE, NOW + decision.reset_after_us, NOW + 2 * S).allowed


def test_a_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        decide(RATE, 0, NOW, -1)


@pytest.mark.parametrize(
    ("name", "limit", "period_s", "burst", "reason"),
    [
        ("", 1, 1, 1, "name"),
        ('a"b', 1, 1, 1, "name"),
        ("a\n", 1, 1, 1, "name"),
        ("a" * 41, 1, 1, 1, "name"),
        ("a", 0, 1, 0, "units"),
        ("a", 10_001, 1, 1, "units"),
        ("a", 1, 0, 1, "period_s"),
        ("a", 1, 366 * 86_400 + 1, 1, "period_s"),
        ("a", 5, 1, 6, "burst"),
        ("a", 5, 1, -1, "burst"),
    ],
)
def test_an_invalid_rate_is_refused(
    name: str, limit: int, period_s: int, burst: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Rate(name, limit, period_s, burst)


def test_a_rate_without_a_burst_has_all_its_units_as_burst() -> None:
    assert Rate("api", 100, 60).burst == 100


API = Rate("api-key", 100, 60)
LOGIN = Rate("login", 5, 900)


def decision_after(rate: Rate, units: int, cost: int = 1) -> RateDecision:
    """Return the decision for `cost` after `units` were used, all at once."""
    return decide(rate, NOW + units * rate.interval_us, NOW, cost)


def test_fields_have_the_units_left_and_their_window() -> None:
    assert header_fields([(API, decision_after(API, 49))]) == [
        ("RateLimit-Policy", '"api-key";q=100;w=60'),
        ("RateLimit", '"api-key";r=50;t=30'),
    ]
    assert header_fields([]) == []


def test_with_no_unit_left_the_window_ends_with_the_next_unit() -> None:
    assert header_fields([(API, decision_after(API, 99))])[1] == ("RateLimit", '"api-key";r=0;t=1')
    assert header_fields([(LOGIN, decision_after(LOGIN, 4))])[1] == (
        "RateLimit",
        '"login";r=0;t=180',
    )


def test_a_denial_has_retry_after_and_no_window_is_longer() -> None:
    assert header_fields([(API, decision_after(API, 49)), (API, decision_after(API, 100))]) == [
        ("RateLimit-Policy", '"api-key";q=100;w=60, "api-key";q=100;w=60'),
        ("RateLimit", '"api-key";r=50;t=1, "api-key";r=0;t=1'),
        ("Retry-After", "1"),
    ]
    assert dict(
        header_fields([(LOGIN, decision_after(LOGIN, 5, 2)), (API, decision_after(API, 100))])
    ) == {
        "RateLimit-Policy": '"login";q=5;w=900, "api-key";q=100;w=60',
        "RateLimit": '"login";r=0;t=180, "api-key";r=0;t=1',
        "Retry-After": "360",
    }


def test_a_cost_that_is_never_allowed_has_no_retry_after() -> None:
    never = decision_after(LOGIN, 0, 6)
    assert retry_after_s([never, decision_after(API, 100)]) is None
    assert header_fields([(LOGIN, never)]) == [
        ("RateLimit-Policy", '"login";q=5;w=900'),
        ("RateLimit", '"login";r=5;t=900'),
    ]


@given(st.integers(0, 10**10))
def test_seconds_are_rounded_up(wait_us: int) -> None:
    seconds = retry_after_s([RateDecision(False, 1, 0, wait_us, wait_us), decision_after(API, 0)])
    assert seconds is not None
    assert 0 <= seconds * S - wait_us < S


@given(rates, st.integers(-(10**9), 10**10), st.integers(0, 22))
def test_a_client_that_reads_the_fields_stays_within_the_policy(
    rate: Rate, ahead_us: int, cost: int
) -> None:
    decision = decide(rate, NOW + ahead_us, NOW, cost)
    fields = dict(header_fields([(rate, decision)]))
    left, window_s = (int(part[2:]) for part in fields["RateLimit"].split(";")[1:])
    assert 0 <= left <= rate.units
    assert 0 < window_s <= max(int(fields.get("Retry-After", 10**9)), 1)
    if decision.allowed:
        assert left * rate.period_s <= rate.units * window_s


def test_a_denial_names_its_rates_and_the_wait() -> None:
    small, large = RATE, Rate("large", 600, 60)
    allowed, denied = decide(large, 0, NOW), decide(small, NOW + small.tolerance_us, NOW)
    require_allowed([large], [allowed])
    with pytest.raises(
        TooSoonError, match=r"too many requests \(small\); see Retry-After"
    ) as caught:
        require_allowed([large, small], [allowed, denied])
    assert caught.value.retry_after_s == 2
    with pytest.raises(TooSoonError, match="too many tries"):
        require_allowed([small], [denied], "too many tries")
