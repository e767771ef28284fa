"""Sample sizes: the visitors that an experiment needs, and the days until they have come."""

import math
from typing import Final, NamedTuple

from engine.experiments.verdict import mixture
from engine.experiments.verdict.fixed_horizon import z_quantile
from engine.experiments.verdict.proportion import check_probability

MAX_VISITORS: Final = 10**15  # no experiment is larger


class RequiredSample(NamedTuple):
    """The visitors of all variants together, and the `days` until they have come."""

    visitors: int
    days: float


def fixed_visitors(
    rate: float, lift: float, power: float = 0.8, alpha: float = 0.05, share: float = 0.5
) -> int:
    """Return how many visitors of control and treatment together a two-sided z test needs.

    It then finds, with a chance of `power`, a treatment whose rate is `rate` × (1 + lift); `share` is the
    treatment's part of both. Source: Fleiss, Levin, Paik, "Statistical Methods for Rates and
    Proportions", 3rd edition, equations 4.14 and 4.17, without correction for continuity. Raises ValueError.
    """
    treated = _treated(rate, lift)
    _check(power, alpha, share)
    pooled = (1 - share) * rate + share * treated
    under_null = math.sqrt(pooled * (1 - pooled) / (share * (1 - share)))
    spread = math.sqrt(_variance(rate, treated, share))
    z = z_quantile(1 - alpha / 2) * under_null + z_quantile(power) * spread
    return math.ceil((z / (treated - rate)) ** 2)


def sequential_visitors(
    rate: float,
    lift: float,
    power: float = 0.8,
    alpha: float = 0.05,
    share: float = 0.5,
    tuning_visitors: float = 5000,
) -> int:
    """Return the visitors of both by which a confidence sequence excludes 0, with a chance of at least `power`.

    There the lift equals half the interval plus the power's quantile. Paths that cross earlier and come back
    are not counted on, so half of the experiments end much sooner. Raises ValueError.
    """
    treated = _treated(rate, lift)
    _check(power, alpha, share)
    rho = mixture.normal_rho(tuning_visitors, alpha)
    spread = math.sqrt(_variance(rate, treated, share))
    quantile = max(z_quantile(power), 0.0)

    def enough(visitors: int) -> bool:
        boundary = mixture.normal_boundary(visitors, rho, alpha)
        needed = spread * (boundary / visitors + quantile / math.sqrt(visitors))
        return needed <= abs(treated - rate)

    high = 2
    while not enough(high):
        high *= 2
        if high > MAX_VISITORS:
            raise ValueError("the lift is too small to be found")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_lift(
    rate: float, visitors: int, power: float = 0.8, alpha: float = 0.05, share: float = 0.5
) -> float | None:
    """Return the smallest relative rise that a z test finds with `visitors` of both; None if it finds none.

    It is the inverse of `fixed_visitors`, to 1e-9. Raises ValueError.
    """
    check_probability(rate, "rate")
    low, high = 0.0, (1 / rate - 1) * (1 - 1e-9)
    if fixed_visitors(rate, high, power, alpha, share) > visitors:
        return None
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if fixed_visitors(rate, middle, power, alpha, share) > visitors:
            low = middle
        else:
            high = middle
    return high


def duration(
    visitors: int, visitors_per_day: float, coverage: float = 1.0, share_of_both: float = 1.0
) -> RequiredSample:
    """Return the sample and its days: `visitors` are needed in two variants that get `share_of_both` of the
    traffic of an experiment with this coverage. Raises ValueError."""
    if not visitors_per_day > 0 or not 0 < coverage <= 1 or not 0 < share_of_both <= 1:
        raise ValueError("traffic must be above 0, coverage and share from 0 to 1")
    all_variants = math.ceil(visitors / share_of_both)
    return RequiredSample(all_variants, all_variants / (visitors_per_day * coverage))


def _treated(rate: float, lift: float) -> float:
    check_probability(rate, "rate")
    treated = rate * (1 + lift)
    check_probability(treated, "rate times (1 + lift)")
    if treated == rate:
        raise ValueError("lift must not be 0")
    return treated


def _variance(rate: float, treated: float, share: float) -> float:
    """Return the variance of the difference of the rates, per visitor of both variants together."""
    return rate * (1 - rate) / (1 - share) + treated * (1 - treated) / share


def _check(power: float, alpha: float, share: float) -> None:
    for name, value in (("power", power), ("alpha", alpha), ("share", share)):
        check_probability(value, name)
