"""Sample-ratio mismatch: whether the arms have got the shares of visitors that they were to get.

Where they have not, something drops visitors of one arm (a redirect that fails, a filter of bots, a
page that does not load), and no comparison of the arms can be believed.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.experiments.verdict import mixture

CONCENTRATION: Final = 10_000.0
ALPHA: Final = 0.001


class SrmTest(NamedTuple):
    """`p_value` may be watched; `stray` are visitors in arms that were to get none."""

    p_value: float
    mismatch: bool
    unexpected_visitors: int


def srm_test(
    visitors: Sequence[int],
    shares: Sequence[float],
    alpha: float = ALPHA,
    concentration: float = CONCENTRATION,
) -> SrmTest:
    """The sequential multinomial test: a Bayes factor with a Dirichlet prior about the expected shares.

    Valid at every look: healthy shares raise a false alarm ever with a chance of at most alpha. Arms with
    share 0 are left out of it (of the degrees of freedom, in terms of a chi-square test); visitors in them
    are counted as stray. `shares` are taken to sum 1. The default concentration looks for deviations of
    about half a per cent of the visitors, and still finds any larger one within some hundred visitors.
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
    kept = [(count, share) for count, share in zip(visitors, shares, strict=True) if share > 0]
    total = sum(share for _, share in kept)
    if not kept or total <= 0:
        raise ValueError("at least one share must be above 0")
    counts = [count for count, _ in kept]
    log_e = 0.0
    if len(kept) > 1:
        expected = [share / total for _, share in kept]
        log_e = mixture.dirichlet_log_e(counts, expected, concentration)
    p_value = mixture.p_value(log_e)
    return SrmTest(p_value, p_value < alpha, sum(visitors) - sum(counts))
