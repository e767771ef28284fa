"""Tests for one look at a size that was planned: more powerful than a sequence, and wrong when watched.

So they are locked until every arm has its planned visitors. Whoever asks keeps the first verdict: each
further look at a growing count is another chance of a false alarm.
"""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

from engine.experiments.verdict import lift
from engine.experiments.verdict.proportion import Proportion, check, check_probability
from engine.experiments.verdict.wilson import ConfidenceInterval, interval

Test = Literal["z", "fisher"]


class BeforeHorizon(NamedTuple):
    """Nothing to see yet: the smaller arm has `visitors` of the `planned`."""

    visitors: int
    planned: int


class FixedHorizonResult(NamedTuple):
    """The difference of the rates, its interval with confidence 1 - alpha, and the two-sided p-value."""

    lift: float
    low: float
    high: float
    p_value: float


def fixed_horizon_test(
    control: Proportion,
    treatment: Proportion,
    planned_visitors: int,
    test: Test = "z",
    alpha: float = 0.05,
) -> BeforeHorizon | FixedHorizonResult:
    """The verdict once each arm has `planned_visitors`, Locked before. Raises ValueError."""
    check(control, treatment)
    if planned_visitors < 1:
        raise ValueError("planned_visitors must be 1 or more")
    visitors = min(control.visitors, treatment.visitors)
    if visitors < planned_visitors:
        return BeforeHorizon(visitors, planned_visitors)
    p_value = z_test(control, treatment) if test == "z" else fisher_exact(control, treatment)
    low, high = newcombe(control, treatment, alpha)
    return FixedHorizonResult(treatment.rate - control.rate, low, high, p_value)


def z_test(control: Proportion, treatment: Proportion) -> float:
    """The two-sided p-value of the z test of two proportions, pooled; 1 where there is no variance.

    Source: J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates and Proportions", 3rd edition,
    section 3.3, without correction for continuity. Raises ValueError.
    """
    variance = lift.pooled_variance(control, treatment)
    if not variance:
        return 1.0
    return math.erfc(abs(treatment.rate - control.rate) / math.sqrt(2 * variance))


def fisher_exact(control: Proportion, treatment: Proportion) -> float:
    """The two-sided p-value of Fisher's exact test: for counts too small for z.

    Source: `scipy.stats.fisher_exact`. Raises ValueError.
    """
    check(control, treatment)
    from scipy.stats import fisher_exact as exact

    table = [[arm.conversions, arm.visitors - arm.conversions] for arm in (control, treatment)]
    return float(exact(table).pvalue)


def newcombe(control: Proportion, treatment: Proportion, alpha: float = 0.05) -> ConfidenceInterval:
    """The interval of the difference of two rates out of their Wilson intervals.

    Source: R. G. Newcombe, Stat. Med. 17 (1998) 873, method 10. Raises ValueError.
    """
    first, second = interval(treatment, alpha), interval(control, alpha)
    p, q = treatment.rate, control.rate
    if not control.visitors or not treatment.visitors:
        return ConfidenceInterval(-1.0, 1.0)
    return ConfidenceInterval(
        p - q - math.hypot(p - first.low, second.high - q),
        p - q + math.hypot(first.high - p, q - second.low),
    )


def z_quantile(probability: float) -> float:
    """The standard normal's quantile. Raises ValueError."""
    check_probability(probability, "probability")
    return NormalDist().inv_cdf(probability)
