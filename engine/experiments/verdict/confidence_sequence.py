"""Confidence sequences and p-values that are valid at every look, however often and however long.

The difference of two rates is asymptotically normal, so its sequence is the asymptotic one of
I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and
asymptotic confidence sequences", Ann. Stat. 52 (2024) 2613 (arXiv:2103.06476v7: equation 9 for the
interval, 155 for the p-value, 161 for rho), with visitors of both variants as time; GrowthBook
calls it sequential testing. With N visitors and the estimate's variance v, the half width is
√(v N) × boundary(N) / N.

**Tuning.** `tuning_visitors` is the number of visitors, both variants together, at which the interval is
tightest: choose the size at which you expect to decide. It must be set before the first look, not by the data.
5,000 is GrowthBook's default; 10 times too few or too many widens the interval by about a tenth.

**While there are few conversions.** "Asymptotic" is a caveat, and with uneven shares a serious one: the
variance is estimated from the same counts, and a small variant without a conversion
seems to have none. By that formula alone two equal variants at 0.5 % and shares of 90/10 raise a false alarm in
35 of 100 tests. So while a variant has fewer than `floor_conversions` visitors who converted, or who did not,
the variance is taken as the larger of the published one and the pooled one, of equal rates (Fleiss, Levin,
Paik, 3rd edition, section 3.3): then it is 0 to 3.5 in 100, from 0.5 % to 30 % and 50/50 to 98/2. The
relative lift, whose variance has the square of a small rate below it, is not given at all before that
floor of conversions (without one 4 to 33, with it 0 to 4.5 in 100). `python -m bench peeking` shows it.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.experiments.verdict import lift, mixture
from engine.experiments.verdict.lift import Estimate
from engine.experiments.verdict.proportion import Proportion, check, check_probability
from engine.experiments.verdict.wilson import ConfidenceInterval

DEFAULT_TUNING_VISITORS: Final = 5000
FLOOR_CONVERSIONS: Final = 50


class SequentialEstimate(NamedTuple):
    """A lift with its interval and p-value at one look. The intervals of all looks hold at once."""

    lift: float
    low: float
    high: float
    p_value: float


def absolute(
    control: Proportion,
    treatment: Proportion,
    alpha: float = 0.05,
    tuning_visitors: float = DEFAULT_TUNING_VISITORS,
    floor_conversions: int = FLOOR_CONVERSIONS,
) -> SequentialEstimate:
    """Return the absolute lift; with a floor of 0, by the published formula alone.

    The interval is -1 to 1 with p = 1 for a variant without visitors or without variance (no visitor has
    converted, or all have). Raises ValueError.
    """
    rho = mixture.normal_rho(tuning_visitors, alpha)
    estimate = lift.absolute(control, treatment)
    visitors = control.visitors + treatment.visitors
    if any(_is_scarce(proportion, floor_conversions) for proportion in (control, treatment)):
        pooled = lift.pooled_variance(control, treatment)
        estimate = estimate._replace(variance=max(estimate.variance, pooled))
    if not control.visitors or not treatment.visitors or not estimate.variance:
        return SequentialEstimate(estimate.lift, -1.0, 1.0, 1.0)
    result = _at(estimate, visitors, alpha, rho)
    return result._replace(low=max(result.low, -1.0), high=min(result.high, 1.0))


def relative(
    control: Proportion,
    treatment: Proportion,
    alpha: float = 0.05,
    tuning_visitors: float = DEFAULT_TUNING_VISITORS,
    floor_conversions: int = FLOOR_CONVERSIONS,
) -> SequentialEstimate | None:
    """Return the lift in parts of the control's rate; None until both variants have `floor_conversions`.

    Its p-value is of the relative lift; to decide whether there is any lift, use that of the absolute one.
    Raises ValueError.
    """
    rho = mixture.normal_rho(tuning_visitors, alpha)
    estimate = lift.relative(control, treatment)
    if estimate is None or not estimate.variance:
        return None
    if min(control.conversions, treatment.conversions) < floor_conversions:
        return None
    return _at(estimate, control.visitors + treatment.visitors, alpha, rho)


def _is_scarce(proportion: Proportion, floor: int) -> bool:
    """Return whether the variant has too few conversions, or others, to trust its own variance."""
    return min(proportion.conversions, proportion.visitors - proportion.conversions) < floor


def _at(estimate: Estimate, visitors: int, alpha: float, rho: float) -> SequentialEstimate:
    per_visitor = math.sqrt(estimate.variance * visitors)
    half = per_visitor * mixture.normal_boundary(visitors, rho, alpha) / visitors
    log_e = mixture.normal_log_e(estimate.lift * visitors / per_visitor, visitors, rho)
    return SequentialEstimate(
        estimate.lift, estimate.lift - half, estimate.lift + half, mixture.p_value(log_e)
    )


def rate(
    proportion: Proportion, alpha: float = 0.05, tuning_visitors: float = 500
) -> ConfidenceInterval:
    """Return the interval of one rate that holds at every look; exact, not asymptotic.

    It has all rates that the Beta-Binomial mixture does not refute: Howard et al. (2021), proposition 7 with
    g + h = 1, which is `bernoulli_confidence_interval` of their package confseq. `tuning_visitors` is where it
    is tightest. Raises ValueError.
    """
    check(proportion)
    check_probability(alpha, "alpha")
    if not proportion.visitors:
        return ConfidenceInterval(0.0, 1.0)
    # The concentration of a normal mixture's rho, whose unit is p (1 - p) visitors.
    concentration = max(mixture.normal_rho(tuning_visitors, 0.05) - 1, 1e-3)
    counts = (proportion.conversions, proportion.visitors - proportion.conversions)

    def refuted(p: float) -> bool:
        return mixture.dirichlet_log_e(counts, (p, 1 - p), concentration) > -math.log(alpha)

    low = _edge(refuted, 0.0, proportion.rate) if proportion.conversions else 0.0
    high = (
        _edge(refuted, 1.0, proportion.rate)
        if proportion.conversions < proportion.visitors
        else 1.0
    )
    return ConfidenceInterval(low, high)


def _edge(refuted: Callable[[float], bool], outer: float, inner: float) -> float:
    """Return the end, by bisection to 2⁻⁶⁰, of the refuted range that begins at `outer` and ends before
    `inner`."""
    for _ in range(60):
        middle = (outer + inner) / 2
        if middle in (outer, inner):
            break
        if refuted(middle):
            outer = middle
        else:
            inner = middle
    return outer
