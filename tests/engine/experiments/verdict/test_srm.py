"""Sample-ratio mismatch."""

import numpy as np
import pytest

from engine.experiments.verdict import srm


def test_exact_shares_are_healthy() -> None:
    assert srm.srm_test([5000, 5000], [0.5, 0.5]) == (1, False, 0)
    assert srm.srm_test([0, 0], [0.5, 0.5]) == (1, False, 0)


def test_by_hand() -> None:
    """Concentration 2 about even shares is uniform: 10 of 10 give B(11, 1) × 2¹⁰ = 1024 / 11."""
    result = srm.srm_test([10, 0], [0.5, 0.5], concentration=2)
    assert result.p_value == pytest.approx(11 / 1024)
    for alpha, mismatch in ((0.0106, False), (0.0108, True)):
        assert srm.srm_test([10, 0], [0.5, 0.5], alpha, 2).mismatch == mismatch


def test_a_broken_redirect_is_a_mismatch() -> None:
    assert not srm.srm_test([500, 450], [0.5, 0.5]).mismatch
    assert srm.srm_test([50_000, 47_500], [0.5, 0.5]).mismatch
    assert srm.srm_test([400, 0], [0.5, 0.5]).mismatch
    assert srm.srm_test([9000, 1000, 500], [0.9, 0.05, 0.05]).mismatch


def test_variants_of_share_0_are_left_out_and_their_visitors_are_unexpected() -> None:
    without = srm.srm_test([510, 490], [0.5, 0.5])
    assert srm.srm_test([510, 0, 490], [0.5, 0, 0.5]) == without
    assert srm.srm_test([510, 3, 490], [0.5, 0, 0.5]) == without._replace(unexpected_visitors=3)
    assert srm.srm_test([510, 3], [1, 0]) == (1, False, 3)


def test_shares_are_taken_to_sum_1() -> None:
    assert srm.srm_test([90, 10], [9, 1]) == srm.srm_test([90, 10], [0.9, 0.1])


@pytest.mark.parametrize(
    ("visitors", "shares"),
    [([1], [0.5, 0.5]), ([-1, 2], [0.5, 0.5]), ([1, 2], [-0.5, 1.5]), ([1, 2], [0, 0]),
     ([], []), ([1, 2], [float("nan"), 1])],
)  # fmt: skip
def test_bad_input_is_refused(visitors: list[int], shares: list[float]) -> None:
    with pytest.raises(ValueError, match=r"counts|share"):
        srm.srm_test(visitors, shares)
    with pytest.raises(ValueError, match="concentration"):
        srm.srm_test([1, 2], [0.5, 0.5], concentration=0)


def test_looks_at_a_healthy_allocation_raise_few_alarms() -> None:
    """400 allocations at 90/10, looked at 50 times: with alpha 5 %, at most 20 alarms."""
    rng = np.random.default_rng(5)
    alarms = 0
    for first in rng.binomial(40, 0.9, (400, 50)).cumsum(axis=1).tolist():
        looks = ([n, 40 * i - n] for i, n in enumerate(first, start=1))
        alarms += any(
            srm.srm_test(counts, [0.9, 0.1], 0.05, concentration=100).mismatch for counts in looks
        )
    assert 0 < alarms <= 20
