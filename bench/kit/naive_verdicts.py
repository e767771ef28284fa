"""Verdicts of the engine, vectorised over experiments and looks, and naive ones beside them.

The formulas are those of engine/experiments/verdict, over arrays. check_agreement() and
check_allocation_agreement() compare them with the engine.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bench.kit.errors import BenchError
from bench.kit.synthetic_visits import Counts
from engine.experiments.verdict import confidence_sequence, mixture, srm
from engine.experiments.verdict.proportion import Proportion

Floats = NDArray[np.float64]
Alarms = NDArray[np.bool_]


def sequence_log_e(
    visitors: Counts,
    conversions: Counts,
    alpha: float,
    tuning_visitors: float,
    floor_conversions: int = confidence_sequence.FLOOR_CONVERSIONS,
) -> Floats:
    """Return ln e of confidence_sequence.absolute(), shape (experiments, looks); 0 where it is undefined."""
    rates, variances = _rates(visitors, conversions)
    total = visitors.sum(axis=1)
    rho = mixture.normal_rho(tuning_visitors, alpha)
    variance = variances.sum(axis=1)
    scarce = np.minimum(conversions, visitors - conversions).min(axis=1) < floor_conversions
    variance = np.where(
        scarce, np.maximum(variance, _pooled_variance(visitors, conversions)), variance
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        square = (rates[:, 1] - rates[:, 0]) ** 2 * total / variance
    log_e = 0.5 * np.log(rho / (total + rho)) + square / (2 * (total + rho))
    return np.where(np.isfinite(log_e), log_e, 0.0)


def z_square(visitors: Counts, conversions: Counts) -> Floats:
    """Return the square of the z of fixed_horizon.z_test(), shape (experiments, looks); 0 where undefined."""
    rates, _ = _rates(visitors, conversions)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (rates[:, 1] - rates[:, 0]) ** 2 / _pooled_variance(visitors, conversions)
    return np.where(np.isfinite(squares), squares, 0.0)


def _pooled_variance(visitors: Counts, conversions: Counts) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = conversions.sum(axis=1) / visitors.sum(axis=1)
        variance: Floats = pooled * (1 - pooled) * (1 / visitors[:, 0] + 1 / visitors[:, 1])
        return variance


def _rates(visitors: Counts, conversions: Counts) -> tuple[Floats, Floats]:
    """Return conversion rates and their variances; NaN while a variant has no visitors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = conversions / visitors
        return rates, rates * (1 - rates) / visitors


def allocation_log_e(visitors: Counts, shares: list[float]) -> Floats:
    """Return ln e of srm.srm_test(), shape (experiments, looks)."""
    from scipy.special import gammaln

    prior = srm.CONCENTRATION
    counted = np.arange(int(visitors.sum(axis=1).max()) + 1)
    total = gammaln(prior) - gammaln(prior + counted)
    log_e: Floats = total[visitors.sum(axis=1)]
    for index, share in enumerate(shares):
        term = gammaln(prior * share + counted) - gammaln(prior * share)
        log_e = log_e + (term - counted * math.log(share))[visitors[:, index]]
    return log_e


def chi_square(visitors: Counts, shares: list[float]) -> Floats:
    """Return Pearson's chi-square statistic, shape (experiments, looks)."""
    expected = visitors.sum(axis=1, keepdims=True) * np.array(shares)[:, None]
    statistic: Floats = ((visitors - expected) ** 2 / expected).sum(axis=1)
    return statistic


def alarmed_experiments(alarms: Alarms) -> int:
    """Return the number of experiments with an alarm at any look."""
    return int(alarms.any(axis=1).sum())


def check_agreement(
    visitors: Counts, conversions: Counts, log_e: Floats, alpha: float, tuning_visitors: float
) -> None:
    """Compare sequence_log_e() with the engine, at the look of each experiment with the largest e.

    Raises BenchError if they differ.
    """
    for experiment, look in enumerate(log_e.argmax(axis=1)):
        proportions = [
            Proportion(
                int(visitors[experiment, variant, look]),
                int(conversions[experiment, variant, look]),
            )
            for variant in (0, 1)
        ]
        interval = confidence_sequence.absolute(
            proportions[0], proportions[1], alpha, tuning_visitors
        )
        expected = mixture.p_value(float(log_e[experiment, look]))
        alarm = not interval.low <= 0 <= interval.high
        if not math.isclose(interval.p_value, expected, rel_tol=1e-9) or alarm != (
            expected < alpha
        ):
            raise BenchError(
                f"the engine says {interval} of {proportions}, the benchmark p = {expected}"
            )


def check_allocation_agreement(visitors: Counts, log_e: Floats, shares: list[float]) -> None:
    """Compare allocation_log_e() with the engine, like check_agreement(). Raises BenchError if they differ."""
    for experiment, look in enumerate(log_e.argmax(axis=1)):
        counts = [int(count) for count in visitors[experiment, :, look]]
        p_value = srm.srm_test(counts, shares).p_value
        expected = mixture.p_value(float(log_e[experiment, look]))
        if not math.isclose(p_value, expected, rel_tol=1e-6):
            raise BenchError(f"the engine says p = {p_value} of {counts}, the benchmark {expected}")
