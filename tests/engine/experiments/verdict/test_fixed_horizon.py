"""Tests for one look: locked before it, and right at it; several comparisons; sizes."""

import math

import pytest

from engine.experiments.verdict import power
from engine.experiments.verdict.fixed_horizon import (
    BeforeHorizon,
    FixedHorizonResult,
    fisher_exact,
    fixed_horizon_test,
    newcombe,
    z_test,
)
from engine.experiments.verdict.multiple_testing import benjamini_hochberg, holm
from engine.experiments.verdict.proportion import Proportion


def test_a_fixed_horizon_is_locked_until_the_smaller_variant_has_its_size() -> None:
    assert fixed_horizon_test(Proportion(999, 10), Proportion(5000, 90), 1000) == BeforeHorizon(
        999, 1000
    )
    result = fixed_horizon_test(Proportion(1000, 10), Proportion(5000, 90), 1000)
    assert isinstance(result, FixedHorizonResult)
    assert result.lift == pytest.approx(0.008)
    with pytest.raises(ValueError, match="planned"):
        fixed_horizon_test(Proportion(1, 0), Proportion(1, 0), 0)


def test_z_by_hand() -> None:
    """40/100 against 60/100: pooled 0.5, deviation √(0.25 × 0.02), so z² = 8."""
    assert z_test(Proportion(100, 40), Proportion(100, 60)) == pytest.approx(
        math.erfc(2), rel=1e-12
    )
    assert z_test(Proportion(100, 0), Proportion(100, 0)) == 1
    assert z_test(Proportion(0, 0), Proportion(100, 3)) == 1


def test_fisher_on_the_lady_tasting_tea() -> None:
    """R. A. Fisher (1935): 3 of 4 cups; (16 + 16 + 1 + 1) of 70 tables are as unlikely."""
    assert fisher_exact(Proportion(4, 1), Proportion(4, 3)) == pytest.approx(34 / 70)
    result = fixed_horizon_test(Proportion(4, 1), Proportion(4, 3), 4, "fisher")
    assert isinstance(result, FixedHorizonResult)
    assert result.p_value == pytest.approx(34 / 70)


def test_newcombe_has_the_published_interval() -> None:
    """56/70 - 48/80 in table II of Newcombe (1998), method 10."""
    assert newcombe(Proportion(80, 48), Proportion(70, 56)) == pytest.approx(
        (0.0524, 0.3339), abs=5e-5
    )
    assert newcombe(Proportion(0, 0), Proportion(70, 56)) == (-1, 1)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p_values) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert benjamini_hochberg([0.9, 0.8]) == pytest.approx([0.9, 0.9])
    assert holm([]) == benjamini_hochberg([]) == []
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="p-values"):
            adjust([0.5, 1.5])


def test_sample_size_is_that_of_the_textbook() -> None:
    """`power.prop.test(p1 = .50, p2 = .75, power = .90)` of R's manual: 76.7 in each variant."""
    assert power.fixed_visitors(0.5, 0.5, power=0.9) == math.ceil(2 * 76.65294)


def test_sample_size_grows_as_it_must() -> None:
    even = power.fixed_visitors(0.02, 0.2)
    assert power.fixed_visitors(0.02, 0.1) > 3.5 * even
    assert power.fixed_visitors(0.02, 0.2, share=0.1) > 2 * even
    assert power.fixed_visitors(0.02, 0.2, power=0.95) > even
    assert power.fixed_visitors(0.02, -0.2) < even
    assert power.sequential_visitors(0.02, 0.2, tuning_visitors=even) > even


def test_the_detectable_lift_is_the_inverse() -> None:
    size = power.fixed_visitors(0.02, 0.2)
    lift = power.detectable_lift(0.02, size)
    assert lift == pytest.approx(0.2, rel=1e-4)
    assert power.detectable_lift(0.02, 3) is None
    assert power.detectable_lift(0.9, 5) is None
    with pytest.raises(ValueError, match="rate"):
        power.detectable_lift(1, 5)


@pytest.mark.parametrize(
    ("rate", "lift"), [(0, 0.2), (1, 0.2), (0.5, 1), (0.5, 0), (0.5, -1), (math.nan, 0.2)]
)
def test_bad_rates_and_lifts_are_refused(rate: float, lift: float) -> None:
    for size in (power.fixed_visitors, power.sequential_visitors):
        with pytest.raises(ValueError, match="must"):
            size(rate, lift)


def test_a_lift_too_small_to_find_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        power.sequential_visitors(0.01, 1e-9)


def test_duration_by_hand() -> None:
    assert power.duration(4000, 500, coverage=0.5, share_of_both=0.8) == (5000, 20)
    for bad in ((0, 1, 1), (10, 0, 1), (10, 1, 0), (10, 1.5, 1)):
        with pytest.raises(ValueError, match="must be"):
            power.duration(100, *bad)
