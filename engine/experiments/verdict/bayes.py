"""Bayesian figures: the chance that a variant is the best, and the expected loss of choosing it.

Each variant's rate has a Beta posterior, from a uniform prior unless told otherwise. Both figures are one
integral over the rate, whatever the number of variants, and are computed by quadrature, not by drawing:

- chance of variant i: ∫ f_i(x) Π_{j≠i} F_j(x) dx;
- expected loss of variant i: E[max_j X_j] - E[X_i], with E[max] = ∫ 1 - Π_j F_j(x) dx.

Neither has a bounded rate of false alarms when it is looked at repeatedly: stop by a confidence sequence,
and read these as measures of certainty. Sources: E. Miller, "Formulas for Bayesian A/B Testing" (2015),
which has the sums for two to four variants; C. Stucchio, "Bayesian A/B Testing at VWO" (2015) for the loss.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.experiments.verdict.proportion import Proportion, check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_VARIANTS: Final = 10
NODES: Final = 24
# Where, in standard deviations about each posterior's mean, the integrals are cut in pieces.
_CUTS: Final = (-40, -20, -12, -8, -6, -4.5, -3, -2, -1, 0, 1, 2, 3, 4.5, 6, 8, 12, 20, 40)


class Posterior(NamedTuple):
    """A variant's posterior: `chance_best` from 0 to 1, `expected_loss` in conversions per visitor, `mean`
    rate."""

    chance_best: float
    expected_loss: float
    mean: float


def posteriors(
    proportions: Sequence[Proportion], prior: tuple[float, float] = (1.0, 1.0)
) -> list[Posterior]:
    """Return the posterior of each of 1 to 10 variants, to about 1e-9.

    `prior` are the parameters of the Beta distribution, 1 or more. Raises ValueError.
    """
    check(*proportions)
    if not 1 <= len(proportions) <= MAX_VARIANTS:
        raise ValueError(f"there must be 1 to {MAX_VARIANTS} variants, not {len(proportions)}")
    if not min(prior) >= 1 or not math.isfinite(sum(prior)):
        raise ValueError("the prior's parameters must be 1 or more")
    import numpy as np
    from scipy.special import betainc, betaln

    a = np.array([prior[0] + proportion.conversions for proportion in proportions])[:, None]
    b = np.array(
        [prior[1] + proportion.visitors - proportion.conversions for proportion in proportions]
    )[:, None]
    x, weight = _nodes(a[:, 0], b[:, 0])
    below = betainc(a, b, x)
    density = np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b))
    chances = [
        float(np.sum(weight * density[i] * np.prod(np.delete(below, i, axis=0), axis=0)))
        for i in range(len(proportions))
    ]
    # Rounding leaves some 1e-12 between their sum and 1.
    total = sum(chances)
    means = (a / (a + b))[:, 0]
    highest = float(np.sum(weight * (1 - np.prod(below, axis=0))))
    return [
        Posterior(chance / total, max(highest - float(mean), 0.0), float(mean))
        for chance, mean in zip(chances, means, strict=True)
    ]


def _nodes(
    a: "NDArray[np.float64]", b: "NDArray[np.float64]"
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Return Gauss-Legendre nodes and weights on [0, 1], dense where any Beta(a, b) has its mass."""
    import numpy as np

    mean = a / (a + b)
    deviation = np.sqrt(mean * (1 - mean) / (a + b + 1))
    cuts = (mean[:, None] + deviation[:, None] * np.array(_CUTS)).ravel()
    edges = np.unique(np.concatenate(([0.0, 1.0], cuts[(cuts > 0) & (cuts < 1)])))
    half = np.diff(edges)[:, None] / 2
    unit, weight = _legendre()
    return (edges[:-1, None] + half * (1 + unit)).ravel(), (half * weight).ravel()


@lru_cache(maxsize=1)
def _legendre() -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    import numpy as np

    unit, weight = np.polynomial.legendre.leggauss(NODES)
    return unit, weight
