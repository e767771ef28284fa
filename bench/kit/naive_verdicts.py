"""The engine's verdicts at all looks of many experiments at once, and the naive ones beside them.

The formulas are those of engine/verdict, over arrays; `agree` holds them against the engine itself.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bench.kit.errors import BenchError
from bench.load.synthetic_visits import Counts
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
    """ln e of `sequence.absolute`, shape (experiments, looks); 0 where there is nothing to tell."""
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
    """The square of the z of `fixed_horizon.z_test`; 0 where there is nothing to tell."""
    rates, _ = _rates(visitors, conversions)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (rates[:, 1] - rates[:, 0]) ** 2 / _pooled_variance(visitors, conversions)
    return np.where(np.isfinite(found), found, 0.0)


def _pooled_variance(visitors: Counts, conversions: Counts) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = conversions.sum(axis=1) / visitors.sum(axis=1)
        found: Floats = pooled * (1 - pooled) * (1 / visitors[:, 0] + 1 / visitors[:, 1])
        return found


def _rates(visitors: Counts, conversions: Counts) -> tuple[Floats, Floats]:
    """Rates and their variances; NaN while an arm has no visitors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = conversions / visitors
        return rates, rates * (1 - rates) / visitors


def allocation_log_e(visitors: Counts, shares: list[float]) -> Floats:
    """ln e of `allocation.check`, shape (experiments, looks)."""
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
    """Pearson's statistic at each look."""
    expected = visitors.sum(axis=1, keepdims=True) * np.array(shares)[:, None]
    found: Floats = ((visitors - expected) ** 2 / expected).sum(axis=1)
    return found


def alarmed_experiments(alarms: Alarms) -> int:
    """In how many experiments there was one at any look."""
    return int(alarms.any(axis=1).sum())


def agree(
    visitors: Counts, conversions: Counts, log_e: Floats, alpha: float, tuning_visitors: float
) -> None:
    """Holds `sequence_log_e` against the engine at the look of each experiment that looks best.

    Raises BenchError.
    """
    for experiment, look in enumerate(log_e.argmax(axis=1)):
        arms = [
            Proportion(
                int(visitors[experiment, arm, look]), int(conversions[experiment, arm, look])
            )
            for arm in (0, 1)
        ]
        said = confidence_sequence.absolute(arms[0], arms[1], alpha, tuning_visitors)
        expected = mixture.p_value(float(log_e[experiment, look]))
        alarm = not said.low <= 0 <= said.high
        if not math.isclose(said.p_value, expected, rel_tol=1e-9) or alarm != (expected < alpha):
            raise BenchError(f"the engine says {said} of {arms}, the benchmark p = {expected}")


def agree_on_allocation(visitors: Counts, log_e: Floats, shares: list[float]) -> None:
    """The same of `allocation_log_e`. Raises BenchError."""
    for experiment, look in enumerate(log_e.argmax(axis=1)):
        counts = [int(count) for count in visitors[experiment, :, look]]
        said = srm.srm_test(counts, shares).p_value
        expected = mixture.p_value(float(log_e[experiment, look]))
        if not math.isclose(said, expected, rel_tol=1e-6):
            raise BenchError(f"the engine says p = {said} of {counts}, the benchmark {expected}")
