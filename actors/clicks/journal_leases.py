"""The journal leases of one owner: released, then acquired and renewed again and again, released at the end.

Journals are shared evenly among the aggregators that live. Each learns its share from Postgres, acquires no
more than that, and is told how many journals to hand over when another one has joined.
"""

from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import trio

from engine.clicks.journal_shares import JournalShare
from engine.common.errors import WaypostError
from engine.stats.ledger_ports import ClickLedger, JournalLease

MAX_STREAMS: Final = 512
# As many are acquired, or wait for their next holder, at once: if that one dies, no more are delayed.
STREAMS_A_ROUND: Final = 8
UNSETTLED_ROUND_S: Final = 0.2
RELEASE_LIMIT_S: Final = 2.0


class JournalLeases:
    """An async context manager: leases are held only inside of its block.

    What an earlier life of this owner still holds is released first, so that it is acquired under a new
    fencing token and the earlier holder commits nothing more.
    """

    def __init__(self, owner: str, ledger: ClickLedger, ttl_s: float) -> None:
        self._owner = owner
        self._ledger = ledger
        self._ttl_s = ttl_s
        self._is_open = False
        self._is_settled = True
        # How many journals this owner has to hand over, as of the last renewal.
        self.surplus = 0

    async def __aenter__(self) -> Self:
        await self._release()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        with trio.CancelScope(shield=True):
            await self._release()

    async def renew(self, handed_over: Collection[UUID] = ()) -> dict[UUID, JournalLease]:
        """Release what is `handed_over`, renew the other leases, and acquire some more, up to the fair share.

        Returns all that are leased, by journal. The shares of the live aggregators add up to all journals,
        so every journal finds an owner. Raises UnavailableError, and RuntimeError outside of the block.
        """
        if not self._is_open:
            raise RuntimeError(
                "leases are renewed only inside of their block, or none would release them"
            )
        share, leases = await self._ledger.renew(self._owner, self._ttl_s, handed_over, _limit)
        fair = min(MAX_STREAMS, share.fair)
        self.surplus = share._replace(fair=fair).surplus(STREAMS_A_ROUND)
        self._is_settled = len(leases) == fair
        return {lease.journal_id: lease for lease in leases}

    async def wait(self) -> None:
        """Wait until the leases need to be renewed; not long while journals change hands."""
        longest_s = 1.0 if self._is_settled else UNSETTLED_ROUND_S
        await trio.sleep(min(longest_s, self._ttl_s / 4))

    async def _release(self) -> None:
        with trio.move_on_after(RELEASE_LIMIT_S), suppress(WaypostError):  # else they expire
            await self._ledger.release(self._owner)


def _limit(share: JournalShare) -> int:
    """Return how many journals the owner may lease now: all that it has, and some more of its share."""
    fair = min(MAX_STREAMS, share.fair)
    return max(share.leased, min(fair, share.leased + STREAMS_A_ROUND))
