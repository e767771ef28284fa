"""Wilson's interval."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.wilson import ConfidenceInterval, interval

Z = NormalDist().inv_cdf(0.975)
proportions = st.integers(1, 10**6).flatmap(
    lambda n: st.integers(0, n).map(lambda c: Proportion(visitors=n, conversions=c))
)


@pytest.mark.parametrize("bad", [Proportion(5, 6), Proportion(5, -1), Proportion(-1, -1)])
def test_impossible_counts_are_refused(bad: Proportion) -> None:
    with pytest.raises(ValueError, match="conversions of"):
        interval(bad)


def test_wilson_has_its_closed_forms() -> None:
    assert interval(Proportion(0, 0)) == ConfidenceInterval(0, 1)
    assert interval(Proportion(10, 0)) == pytest.approx((0, Z**2 / (10 + Z**2)), abs=1e-15)
    assert interval(Proportion(10, 10)) == pytest.approx((10 / (10 + Z**2), 1), abs=1e-15)
    half = Z / (2 * math.sqrt(10 + Z**2))
    assert interval(Proportion(10, 5)) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-15)


@given(proportions, st.sampled_from([0.001, 0.05, 0.3]))
def test_wilson_ends_where_the_score_test_begins_to_reject(
    proportion: Proportion, alpha: float
) -> None:
    z = NormalDist().inv_cdf(1 - alpha / 2)
    bounds = interval(proportion, alpha)
    assert 0 <= bounds.low <= proportion.rate <= bounds.high <= 1
    for end in bounds:
        if 0 < end < 1:
            score = (proportion.rate - end) ** 2 * proportion.visitors / (end * (1 - end))
            assert score == pytest.approx(z * z, rel=1e-6)


@pytest.mark.parametrize("alpha", [0, 1, math.nan])
def test_alpha_is_a_probability(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        interval(Proportion(10, 5), alpha)
