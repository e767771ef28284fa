"""Sequential results: the martingales, and the confidence sequences made of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.experiments.verdict import confidence_sequence, mixture
from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.wilson import ConfidenceInterval, interval

ALPHA = 0.05
proportions = st.integers(1, 10**6).flatmap(
    lambda n: st.integers(0, n).map(lambda c: Proportion(visitors=n, conversions=c))
)


def test_the_normal_mixture_is_a_martingale() -> None:
    """Check that its mean under the hypothesis, a sum of mean 0 and variance v, is always 1."""
    x = np.linspace(-60, 60, 200_001)
    for time in (1.0, 4.0, 30.0):
        density = np.exp(-(x**2) / (2 * time)) / math.sqrt(2 * math.pi * time)
        # With sqrt(v) of 5.5, 60 is 11 deviations: the tails beyond it weigh nothing.
        e = np.exp([mixture.normal_log_e(s, time, 40.0) for s in x])
        assert float((density * e).sum() * (x[1] - x[0])) == pytest.approx(1, abs=1e-6)


def test_the_dirichlet_mixture_is_a_martingale() -> None:
    """Check the mean of 1 by adding up all counts of 7 visitors in three variants."""
    shares = (0.5, 0.3, 0.2)
    mean = 0.0
    for a in range(8):
        for b in range(8 - a):
            counts = (a, b, 7 - a - b)
            ways = math.factorial(7) // math.prod(math.factorial(count) for count in counts)
            chance = ways * math.prod(s**c for s, c in zip(shares, counts, strict=True))
            mean += chance * math.exp(mixture.dirichlet_log_e(counts, shares, 12.5))
    assert mean == pytest.approx(1, abs=1e-12)


def test_the_dirichlet_mixture_by_hand() -> None:
    """Uniform prior, one visitor of two in each variant: B(2, 2) / (1/4) = 2/3."""
    assert math.exp(mixture.dirichlet_log_e((1, 1), (0.5, 0.5), 2)) == pytest.approx(2 / 3)


@given(st.floats(1, 1e8), st.floats(1e-3, 1e6), st.sampled_from([0.001, 0.05, 0.5]))
def test_the_boundary_is_where_the_evidence_is_enough(
    time: float, rho: float, alpha: float
) -> None:
    bound = mixture.normal_boundary(time, rho, alpha)
    assert mixture.normal_log_e(bound, time, rho) == pytest.approx(-math.log(alpha), abs=1e-7)


def test_rho_is_by_hand_and_nearly_the_best() -> None:
    two_logs = 2 * math.log(20)
    rho = mixture.normal_rho(5000, ALPHA)
    assert rho == pytest.approx(5000 / (two_logs + math.log(1 + two_logs)))
    best = min(mixture.normal_boundary(5000, rho * 1.01**step, ALPHA) for step in range(-99, 100))
    assert mixture.normal_boundary(5000, rho, ALPHA) <= best * 1.001


@pytest.mark.parametrize(("tuning", "alpha"), [(0, 0.05), (-1, 0.05), (10, 0), (10, 1)])
def test_bad_tuning_is_refused(tuning: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        confidence_sequence.absolute(Proportion(10, 5), Proportion(10, 5), alpha, tuning)


def test_the_absolute_sequence_by_its_formula() -> None:
    """Equation 9 of arXiv:2103.06476v7, with rho² = (2 ln 20 + ln(1 + 2 ln 20)) / 4000."""
    estimate = confidence_sequence.absolute(
        Proportion(2000, 200), Proportion(3000, 360), ALPHA, 4000
    )
    n, square = 5000, (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 4000
    variance = (0.1 * 0.9 / 2000 + 0.12 * 0.88 / 3000) * n
    inner = 2 * (n * square + 1) / (n**2 * square) * math.log(math.sqrt(n * square + 1) / ALPHA)
    half = math.sqrt(variance * inner)
    assert estimate[:3] == pytest.approx((0.02, 0.02 - half, 0.02 + half), rel=1e-12)


@given(proportions, proportions, st.sampled_from([0.01, 0.05]), st.sampled_from([100, 5000, 10**6]))
def test_the_interval_excludes_0_exactly_when_p_is_below_alpha(
    first: Proportion, second: Proportion, alpha: float, tuning: float
) -> None:
    estimate = confidence_sequence.absolute(first, second, alpha, tuning)
    mirrored = confidence_sequence.absolute(second, first, alpha, tuning)
    assert -1 <= estimate.low <= estimate.lift <= estimate.high <= 1
    assert (estimate.low, estimate.high) == pytest.approx((-mirrored.high, -mirrored.low))
    assert estimate.p_value == pytest.approx(mirrored.p_value)
    if not math.isclose(estimate.p_value, alpha, rel_tol=1e-6):
        assert (estimate.low > 0 or estimate.high < 0) == (estimate.p_value < alpha)


@pytest.mark.parametrize(
    "pair",
    [
        (Proportion(0, 0), Proportion(9, 3)),
        (Proportion(9, 0), Proportion(9, 0)),
        (Proportion(9, 9),) * 2,
    ],
)
def test_no_lift_is_estimated_without_data(
    pair: tuple[Proportion, Proportion],
) -> None:
    assert confidence_sequence.absolute(*pair)[1:] == (-1, 1, 1)


def test_a_small_variant_without_conversions_is_no_proof() -> None:
    """30 of 5,400 against 0 of 600: the second is expected to have 3, and e⁻³ is 5 %."""
    control, treatment = Proportion(5400, 30), Proportion(600, 0)
    assert confidence_sequence.absolute(control, treatment, floor_conversions=0).high < 0
    assert confidence_sequence.absolute(control, treatment).high > 0
    inverse = Proportion(5400, 5370), Proportion(600, 600)
    assert confidence_sequence.absolute(*inverse, floor_conversions=0).low > 0
    assert confidence_sequence.absolute(*inverse).low < 0


def test_a_relative_lift_waits_for_its_floor() -> None:
    assert confidence_sequence.relative(Proportion(10_000, 49), Proportion(10_000, 80)) is None
    estimate = confidence_sequence.relative(Proportion(10_000, 50), Proportion(10_000, 80))
    assert estimate is not None
    assert estimate.lift == pytest.approx(0.6)
    assert estimate.low < 0 < estimate.high


def test_a_sequential_rate_ends_where_its_mixture_refutes() -> None:
    concentration = mixture.normal_rho(500, ALPHA) - 1
    rate_interval = confidence_sequence.rate(Proportion(1000, 30), ALPHA, 500)
    for end in rate_interval:
        log_e = mixture.dirichlet_log_e((30, 970), (end, 1 - end), concentration)
        assert log_e == pytest.approx(math.log(20), abs=1e-6)


@given(proportions)
def test_a_sequential_rate_is_wider_than_an_interval_for_one_look(variant: Proportion) -> None:
    once, always = interval(variant), confidence_sequence.rate(variant)
    assert 0 <= always.low <= variant.rate <= always.high <= 1
    # Near 0 and 1 Wilson's is an approximation, and may even be the wider one.
    if min(variant.conversions, variant.visitors - variant.conversions) >= 20:
        assert always.high - always.low > once.high - once.low


def test_a_rate_without_visitors_is_anything() -> None:
    assert confidence_sequence.rate(Proportion(0, 0)) == ConfidenceInterval(0, 1)
    assert confidence_sequence.rate(Proportion(10, 0)).low == 0
    assert confidence_sequence.rate(Proportion(10, 10)).high == 1


@pytest.mark.slow
def test_a_sequential_rate_covers_the_truth_at_all_looks() -> None:
    """Of 200 runs of 400 visitors at a rate of 10 %, looked at 40 times each, 5 % may miss it."""
    rng = np.random.default_rng(7)
    missed = 0
    for run in rng.binomial(10, 0.1, (200, 40)).cumsum(axis=1):
        looks = (
            confidence_sequence.rate(Proportion(10 * n, int(c))) for n, c in enumerate(run, start=1)
        )
        missed += any(not look.low <= 0.1 <= look.high for look in looks)
    assert missed <= 10


@pytest.mark.slow
def test_looks_at_two_equal_variants_raise_few_false_alarms_at_uneven_shares() -> None:
    """200 tests of 10,000 visitors at 0.5 % and shares 90/10, looked at 100 times each.

    The published formula without a floor shows that the simulation can detect false alarms.
    """
    rng = np.random.default_rng(3)
    alarms = {0: 0, confidence_sequence.FLOOR_CONVERSIONS: 0}
    visitors = rng.binomial(100, 0.1, (200, 100))
    treated, control = rng.binomial(visitors, 0.005), rng.binomial(100 - visitors, 0.005)
    for n, t, c in zip(
        *(x.cumsum(axis=1).tolist() for x in (visitors, treated, control)), strict=True
    ):
        for floor in alarms:
            looks = (
                confidence_sequence.absolute(
                    Proportion(100 * (i + 1) - n[i], c[i]),
                    Proportion(n[i], t[i]),
                    floor_conversions=floor,
                ).p_value
                for i in range(100)
            )
            alarms[floor] += any(p < ALPHA for p in looks)
    assert alarms[0] > 40
    assert alarms[confidence_sequence.FLOOR_CONVERSIONS] <= 10
