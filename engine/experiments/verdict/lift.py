"""Lifts of a treatment over the control: estimates and their variances."""

from typing import NamedTuple

from engine.experiments.verdict.proportion import Proportion, check


class Estimate(NamedTuple):
    """A lift and the variance of its sampling distribution (large samples)."""

    lift: float
    variance: float


def absolute(control: Proportion, treatment: Proportion) -> Estimate:
    """Return the difference of the rates, p_t - p_c; its variance is the sum of theirs. Raises ValueError."""
    check(control, treatment)
    return Estimate(treatment.rate - control.rate, treatment.variance + control.variance)


def pooled_variance(control: Proportion, treatment: Proportion) -> float:
    """Return the variance of the absolute lift if both rates are equal: p (1 - p) (1/n_c + 1/n_t).

    It is 0 while a variant has no visitor. Raises ValueError.
    """
    check(control, treatment)
    if not control.visitors or not treatment.visitors:
        return 0.0
    visitors = control.visitors + treatment.visitors
    rate = (control.conversions + treatment.conversions) / visitors
    return rate * (1 - rate) * (1 / control.visitors + 1 / treatment.visitors)


def relative(control: Proportion, treatment: Proportion) -> Estimate | None:
    """Return the difference in parts of the control's rate, (p_t - p_c) / p_c; None while that rate is 0.

    The variance is the delta method's: v_t / p_c² + v_c p_t² / p_c⁴. Source: A. Deng, U. Knoblich, J. Lu,
    "Applying the Delta Method in Metric Analytics", KDD 2018. Raises ValueError.
    """
    check(control, treatment)
    base = control.rate
    if not base:
        return None
    variance = treatment.variance / base**2 + control.variance * treatment.rate**2 / base**4
    return Estimate((treatment.rate - base) / base, variance)
