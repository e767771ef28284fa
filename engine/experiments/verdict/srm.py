"""Sample-ratio mismatch: visitors are not shared out as the weights say.

Then something drops visitors of one variant (a redirect that fails, a filter of bots, a page that does not
load), and no comparison of the variants can be believed.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.experiments.verdict import mixture

CONCENTRATION: Final = 10_000.0
ALPHA: Final = 0.001


class SrmTest(NamedTuple):
    """The test at one look; `p_value` holds at every look. `unexpected_visitors` are in variants of share 0."""

    p_value: float
    mismatch: bool
    unexpected_visitors: int


def srm_test(
    visitors: Sequence[int],
    shares: Sequence[float],
    alpha: float = ALPHA,
    concentration: float = CONCENTRATION,
) -> SrmTest:
    """Return the sequential multinomial test: a Bayes factor with a Dirichlet prior about the expected shares.

    The chance that healthy shares ever raise a false alarm is at most alpha. Variants of share 0 are left out
    (of the degrees of freedom, in terms of a chi-square test); their visitors are unexpected. `shares` are
    scaled to the sum 1. The default concentration looks for deviations of about half a per cent of the
    visitors, and still finds a larger deviation within some hundred visitors.
    Source: M. Lindon, A. Malek, NeurIPS 2022 (arXiv:2011.03567), equation 7 and section 4.1. Raises ValueError.
    """
    if len(visitors) != len(shares):
        raise ValueError(f"{len(visitors)} counts for {len(shares)} shares")
    if any(count < 0 for count in visitors) or not all(
        0 <= share < float("inf") for share in shares
    ):
        raise ValueError("counts and shares must not be negative")
    if not concentration > 0:
        raise ValueError("concentration must be above 0")
    expected_variants = [
        (count, share) for count, share in zip(visitors, shares, strict=True) if share > 0
    ]
    total = sum(share for _, share in expected_variants)
    if not expected_variants or total <= 0:
        raise ValueError("at least one share must be above 0")
    counts = [count for count, _ in expected_variants]
    log_e = 0.0
    if len(expected_variants) > 1:
        expected = [share / total for _, share in expected_variants]
        log_e = mixture.dirichlet_log_e(counts, expected, concentration)
    p_value = mixture.p_value(log_e)
    return SrmTest(p_value, p_value < alpha, sum(visitors) - sum(counts))
