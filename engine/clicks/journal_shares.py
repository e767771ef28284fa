"""Shares: how many journals each live aggregator folds, so that all have the same number, or one more."""

from collections.abc import Mapping
from typing import NamedTuple


class JournalShare(NamedTuple):
    """The share of one aggregator: the journals that are `fair` to lease, that it has `leased`, and those that
    are `free` for any."""

    fair: int
    leased: int
    free: int

    def surplus(self, at_most: int) -> int:
        """Return how many journals to hand over, so that no more than `at_most` wait for their next holder."""
        return max(0, min(self.leased - self.fair, at_most - self.free))


def share_of(owner: str, leased: Mapping[str, int], journals: int, free: int) -> JournalShare:
    """Return the share of `owner`. `leased` has the number of leases by live aggregator.

    Where the journals cannot be divided, those who have most leases keep one more: so nobody hands over a
    journal that another would have to hand back.
    """
    counts = {owner: 0, **leased}
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    each, rest = divmod(journals, len(ranked))
    return JournalShare(each + (ranked.index(owner) < rest), counts[owner], free)
