"""E-processes: evidence against a hypothesis that may be looked at after every visitor.

If the hypothesis is true, an e-process is a nonnegative martingale (or below one) that starts at 1. By
Ville's inequality the chance that it *ever* exceeds 1/alpha is at most alpha, so stopping at the
moment that looks best is still wrong at most that often. Both processes here are likelihood ratios with the
alternative averaged over a prior ("method of mixtures"); all values are logarithms.

Sources: H. Robbins, Ann. Math. Stat. 41 (1970) 1397; S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
"Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49 (2021) 1055
(proposition 5 and section 3.5); M. Lindon, A. Malek, "Anytime-valid inference for multinomial count
data", NeurIPS 2022.
"""

import math
from collections.abc import Sequence

from engine.experiments.verdict.proportion import check_probability


def normal_rho(tuning: float, alpha: float) -> float:
    """Return the precision of the normal mixture at which the boundary is tightest about time `tuning`.

    tuning / (2 ln(1/alpha) + ln(1 + 2 ln(1/alpha))), Howard et al. (2021), section 3.5: within some per
    mille of the exact optimum. The boundary is valid wherever it is set, and a little wider elsewhere.
    Raises ValueError.
    """
    check_probability(alpha, "alpha")
    if not tuning > 0:
        raise ValueError("tuning must be above 0")
    doubled = -2 * math.log(alpha)
    return tuning / (doubled + math.log1p(doubled))


def normal_log_e(sum_: float, time: float, rho: float) -> float:
    """Return ln of the two-sided normal mixture at a sum with variance `time` and, under the hypothesis,
    mean 0.

    ½ ln(rho / (time + rho)) + sum² / (2 (time + rho)).
    """
    return 0.5 * math.log(rho / (time + rho)) + sum_ * sum_ / (2 * (time + rho))


def normal_boundary(time: float, rho: float, alpha: float) -> float:
    """Return the sum at which `normal_log_e` reaches ln(1/alpha): √((time + rho) ln((time + rho) / (rho
    alpha²)))."""
    return math.sqrt((time + rho) * (math.log((time + rho) / rho) - 2 * math.log(alpha)))


def dirichlet_log_e(counts: Sequence[int], shares: Sequence[float], concentration: float) -> float:
    """Return ln of the Bayes factor of "other shares" against `shares`, given the counts of a multinomial.

    The alternative's shares have a Dirichlet prior with parameters concentration × shares:
    ln B(concentration × shares + counts) - ln B(concentration × shares) - Σ counts ln shares.
    A large concentration looks for small deviations. Shares must be above 0 and sum to 1.
    """
    total = sum(counts)
    log_e = math.lgamma(concentration) - math.lgamma(concentration + total)
    for count, share in zip(counts, shares, strict=True):
        prior = concentration * share
        log_e += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return log_e


def p_value(log_e: float) -> float:
    """Return 1 / e, at most 1: a p-value that is valid at every look."""
    return math.exp(-log_e) if log_e > 0 else 1.0
