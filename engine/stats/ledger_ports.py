"""Ports of the click ledger: watermarks and leases of journals, and folds."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from engine.clicks.batch import Batch
from engine.clicks.journal_shares import JournalShare


class JournalLease(NamedTuple):
    """A journal's watermark `folded` and the fencing token under which it is leased."""

    journal_id: UUID
    folded: int
    fencing_token: int


class ClickLedger(Protocol):
    """The ledger of counted clicks. A fold moves `folded` in the transaction of the counts."""

    async def register(self, journal_id: UUID) -> int:
        """Create the journal's row if there is none, and take back complete(). Returns its watermark."""

    async def watermark(self, journal_id: UUID) -> int | None:
        """Return the journal's watermark, the last sequence that is counted; None for one without a row."""

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the watermarks of those of the journals that have a row, by id."""

    async def complete(self, journal_id: UUID, last: int) -> None:
        """Note the last sequence of a journal whose edge has ended. It is not leased while the watermark has
        reached that sequence, and is again if it goes back."""

    async def share(
        self, owner: str, ttl_s: float, handed_over: Collection[UUID] = ()
    ) -> JournalShare:
        """Note that `owner` lives, for `ttl_s`, release its leases of `handed_over`, and return its share."""

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        """Renew the leases of `owner` and acquire free or expired ones, `limit` in all. Each of them lasts for
        half of `ttl_s` at least.

        A lease that changes hands gets a higher fencing token, which no lease had before: it is the time of
        the database's clock in microseconds, so that a database that went back does not give it again.
        """

    async def renew(
        self,
        owner: str,
        ttl_s: float,
        handed_over: Collection[UUID],
        limit_of: Callable[[JournalShare], int],
    ) -> tuple[JournalShare, list[JournalLease]]:
        """Do share(), and lease() with the limit that `limit_of` returns, in one transaction."""

    async def release(self, owner: str) -> None:
        """Release all leases of `owner`, which has no share until it asks for one."""

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """Fold batches: add raw rows and deltas and move `folded`, all or nothing. Returns the lease moved.

        `batches` continue `folded` without a gap; clicks at or below it are skipped. Raises
        StaleLeaseError when the watermark or the fencing token of the journal is another one.
        """

    async def delete_journal(self, journal_id: UUID) -> None:
        """Delete the row of a journal that is counted and deleted. Its id is never used again."""

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """Keep a batch that cannot be folded, whole, and move the watermark past it. Returns the lease moved.

        Raises StaleLeaseError as commit() does.
        """
