"""The universal scalability law, fitted to rates by number of workers.

    X(N) = a N / (1 + s (N - 1) + k N (N - 1))

`a` is the rate of one worker, `s` the share of work that only one can do at a time (contention), `k` what each
pair of workers costs each other (coherence). With k > 0 there is a number of workers beyond which more of them
are slower: sqrt((1 - s) / k). Source: N. Gunther, Guerrilla Capacity Planning, 2007.

Intervals are percentiles of fits to resampled residuals: coefficients end at 0, where the usual ones from a
covariance are wrong.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

RESAMPLES: Final = 300
LEVEL: Final = 0.95


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float


class ScalabilityLaw(NamedTuple):
    """The law's coefficients, and the number of workers with the highest rate; infinite without coherence."""

    rate: Interval
    contention: Interval
    coherence: Interval
    best_workers: Interval

    def at(self, workers: float) -> float:
        return float(law(workers, self.rate.value, self.contention.value, self.coherence.value))


def law(workers: Any, rate: float, contention: float, coherence: float) -> Any:
    """Return the rate of `workers`, a number or an array."""
    return rate * workers / (1 + contention * (workers - 1) + coherence * workers * (workers - 1))


def fit_law(workers: Sequence[float], rates: Sequence[float], seed: int = 1) -> ScalabilityLaw:
    """Fit the law to pairs of workers and rates, relatively. Raises ValueError for fewer than three numbers of
    workers."""
    if len(set(workers)) < 3:
        raise ValueError("the law has three coefficients: give rates of three numbers of workers")
    numbers, measured = np.array(workers, float), np.array(rates, float)
    estimate = _coefficients(numbers, measured)
    fitted = law(numbers, *estimate)
    # Three coefficients have taken up some of the noise.
    spread = math.sqrt(len(measured) / max(1, len(measured) - 3))
    residuals = 1 + (measured / fitted - 1) * spread
    dice = np.random.default_rng(seed)
    resampled = np.array(
        [
            _coefficients(numbers, fitted * dice.choice(residuals, len(residuals)))
            for _ in range(RESAMPLES)
        ]
    )
    best = [_best_workers(*row[1:]) for row in resampled]
    columns = [*resampled.T, np.array(best)]
    values = [*estimate, _best_workers(*estimate[1:])]
    return ScalabilityLaw(*map(_interval, values, columns))


def _coefficients(workers: Any, rates: Any) -> Any:
    """Return (rate, contention, coherence), none negative.

    N / X is linear in 1 / a, s / a and k / a, so least squares need no first guess; weighed by X / N, errors
    are relative.
    """
    terms = np.array([np.ones(len(workers)), workers - 1, workers * (workers - 1)]).T
    from scipy.optimize import nnls  # which takes half a second

    (alone, contention, coherence), _ = nnls(
        terms * (rates / workers)[:, None], np.ones(len(rates))
    )
    return np.array([1, contention, coherence]) / max(alone, 1e-300)


def _best_workers(contention: float, coherence: float) -> float:
    return math.sqrt(max(0.0, 1 - contention) / coherence) if coherence > 1e-7 else math.inf


def _interval(value: float, resampled: Any) -> Interval:
    # The method names what is between two numbers: an infinite one has no mean with another.
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Interval(float(value), float(min(low, value)), float(max(high, value)))
