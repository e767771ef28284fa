"""The journal leases of one owner: released, then acquired and renewed again and again, released at the end."""

from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import trio

from engine.common.errors import WaypostError
from engine.stats.ledger_ports import ClickLedger, JournalLease

MAX_STREAMS: Final = 512
STREAMS_A_ROUND: Final = 8
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
        self._held = 0
        self._is_open = False

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

    async def renew(self) -> dict[UUID, JournalLease]:
        """Renew the leases and acquire some more. Returns all that are held, by journal.

        Each round acquires a few more than are held, as long as there are free ones: several aggregators
        share them, and however many there are, every one finds an owner. Raises UnavailableError, and
        RuntimeError outside of the block.
        """
        if not self._is_open:
            raise RuntimeError(
                "leases are renewed only inside of their block, or none would release them"
            )
        limit = min(MAX_STREAMS, self._held + STREAMS_A_ROUND)
        leases = await self._ledger.lease(self._owner, limit, self._ttl_s)
        self._held = len(leases)
        return {lease.journal_id: lease for lease in leases}

    async def wait(self) -> None:
        """Wait until the leases need to be renewed."""
        await trio.sleep(min(1.0, self._ttl_s / 4))

    async def _release(self) -> None:
        with trio.move_on_after(RELEASE_LIMIT_S), suppress(WaypostError):  # else they expire
            await self._ledger.release(self._owner)
