"""Quotas of clicks: how a limit of a link is kept exactly by many edges.

Postgres keeps how many clicks of a link's limit are leased. An edge leases some before it lets visitors pass,
and gives back what it does not use. So never more pass than the limit, whatever crashes: clicks that a killed
edge had leased are lost. Leases become smaller as the limit comes nearer, down to one, so that edges do not
hold what others need.
"""

from collections.abc import Sequence
from typing import Final, Protocol

MAX_LEASE: Final = 64
# A lease is this part of what is left.
LEASE_SHARE: Final = 16


def lease_of(left: int) -> int:
    """Return how many of the clicks that are left an edge gets at once; 0 if none is left."""
    return min(left, MAX_LEASE, max(1, left // LEASE_SHARE))


class ClickQuotaStore(Protocol):
    """Leases of clicks, for edges. Both raise UnavailableError; then it is unknown what was leased, and that
    counts as used."""

    async def lease(self, links: Sequence[tuple[int, int]]) -> dict[int, int]:
        """Return how many clicks are leased of each link (tenant id, link id), by link id; 0 if its limit is
        reached. A link without a limit gets MAX_LEASE."""

    async def give_back(self, unused: Sequence[tuple[int, int, int]]) -> None:
        """Give clicks back that were leased and not used (tenant id, link id, number)."""
