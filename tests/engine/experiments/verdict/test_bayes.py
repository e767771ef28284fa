"""Chance to be best and expected loss, against closed forms."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.experiments.verdict.bayes import posteriors
from engine.experiments.verdict.proportion import Proportion


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def chance_of_second(first: Proportion, second: Proportion) -> float:
    """E. Miller's sum (2015) for two variants."""
    a, b = first.conversions + 1, first.visitors - first.conversions + 1
    c, d = second.conversions + 1, second.visitors - second.conversions + 1
    return math.fsum(
        math.exp(log_beta(a + i, b + d) - log_beta(1 + i, d) - log_beta(a, b)) / (d + i)
        for i in range(c)
    )


def test_two_variants_by_hand() -> None:
    """Densities 2x and 2(1 - x): the first is better in 5 of 6; the better one has mean 7/10."""
    first, second = posteriors([Proportion(1, 1), Proportion(1, 0)])
    assert first == pytest.approx((5 / 6, 1 / 30, 2 / 3), abs=1e-12)
    assert second == pytest.approx((1 / 6, 11 / 30, 1 / 3), abs=1e-12)


@settings(max_examples=60)
@given(*[st.tuples(st.integers(0, 3000), st.floats(0, 1)) for _ in range(2)])
def test_two_variants_agree_with_the_closed_sum(
    first: tuple[int, float], second: tuple[int, float]
) -> None:
    variants = [Proportion(visitors, int(visitors * part)) for visitors, part in (first, second)]
    chance = posteriors(variants)[1].chance_best
    assert chance == pytest.approx(chance_of_second(*variants), abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
@pytest.mark.parametrize(
    "variant", [Proportion(0, 0), Proportion(500, 3), Proportion(10**7, 10**5)]
)
def test_equal_variants_have_equal_chances(count: int, variant: Proportion) -> None:
    for belief in posteriors([variant] * count):
        assert belief.chance_best == pytest.approx(1 / count, abs=1e-9)


def test_the_better_of_k_uniform_rates_has_mean_k_by_k_plus_1() -> None:
    for count in (2, 5, 10):
        loss = posteriors([Proportion(0, 0)] * count)[0].expected_loss
        assert loss == pytest.approx(count / (count + 1) - 0.5, abs=1e-12)


def test_a_narrow_and_a_wide_posterior() -> None:
    """Against a rate that is known to be 0.3, a uniform one is better in 7 of 10."""
    wide, narrow = posteriors([Proportion(0, 0), Proportion(10**9, 3 * 10**8)])
    assert wide.chance_best == pytest.approx(0.7, abs=1e-6)
    # E[max(U, 0.3)] = 0.3² + (1 - 0.3²) / 2 = 0.545
    assert narrow.expected_loss == pytest.approx(0.245, abs=1e-6)


def test_a_far_better_variant_is_certainly_best() -> None:
    beliefs = posteriors(
        [Proportion(10_000, 100), Proportion(10_000, 300), Proportion(10_000, 110)]
    )
    assert beliefs[1].chance_best == pytest.approx(1, abs=1e-9)
    assert beliefs[1].expected_loss == pytest.approx(0, abs=1e-9)
    assert beliefs[0].expected_loss == pytest.approx(200 / 10_002, abs=1e-9)


def test_a_prior_counts_as_visitors_do() -> None:
    assert posteriors([Proportion(10, 2), Proportion(5, 3)], (3, 5)) == posteriors(
        [Proportion(16, 4), Proportion(11, 5)]
    )


@pytest.mark.parametrize("bad", [[], [Proportion(1, 0)] * 11, [Proportion(1, 2)]])
def test_bad_proportions_are_refused(bad: list[Proportion]) -> None:
    with pytest.raises(ValueError, match=r"variants|conversions"):
        posteriors(bad)


def test_a_prior_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="prior"):
        posteriors([Proportion(1, 0)], (0.5, 0.5))
