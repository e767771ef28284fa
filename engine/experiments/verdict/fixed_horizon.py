"""Tests for one look at a planned size: more powerful than a confidence sequence, wrong when repeated.

So they are locked until every variant has its planned visitors. Keep the first verdict: each further look at
growing counts is another chance of a false alarm.
"""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

from engine.experiments.verdict import lift
from engine.experiments.verdict.proportion import Proportion, check, check_probability
from engine.experiments.verdict.wilson import ConfidenceInterval, interval

Test = Literal["z", "fisher"]


class BeforeHorizon(NamedTuple):
    """The state before the horizon: the smaller variant has `visitors` of the `planned`."""

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
    """Return the verdict once each variant has `planned_visitors`, BeforeHorizon until then. Raises
    ValueError."""
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
    """Return the two-sided p-value of the z test of two proportions, pooled; 1 where there is no variance.

    Source: J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates and Proportions", 3rd edition,
    section 3.3, without correction for continuity. Raises ValueError.
    """
    variance = lift.pooled_variance(control, treatment)
    if not variance:
        return 1.0
    return math.erfc(abs(treatment.rate - control.rate) / math.sqrt(2 * variance))


def fisher_exact(control: Proportion, treatment: Proportion) -> float:
    """Return the two-sided p-value of Fisher's exact test, for counts too small for the z test.

    Source: `scipy.stats.fisher_exact`. Raises ValueError.
    """
    check(control, treatment)
    from scipy.stats import fisher_exact as exact

    table = [
        [proportion.conversions, proportion.visitors - proportion.conversions]
        for proportion in (control, treatment)
    ]
    return float(exact(table).pvalue)


def newcombe(control: Proportion, treatment: Proportion, alpha: float = 0.05) -> ConfidenceInterval:
    """Return the interval of the difference of two rates, made of their Wilson intervals.

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
    """Return the standard normal quantile. Raises ValueError."""
    check_probability(probability, "probability")
    return NormalDist().inv_cdf(probability)
