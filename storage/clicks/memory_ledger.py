"""The in-memory twin of storage/clicks/ledger.py: the same guarantees, in plain words.

A transaction runs without a checkpoint; there is one before it and one after, where the real one waits:
a task that is cancelled at the second has committed and does not know, as happens with Postgres.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.continuation import batches_after
from engine.clicks.copy_rows import clamped
from engine.clicks.journal_format import clicks, validate_frames
from engine.clicks.journal_shares import JournalShare, share_of
from engine.common.errors import StaleLeaseError
from engine.stats.ledger_ports import JournalLease
from storage.stats.memory_click_tables import MemoryClickTables, MemoryJournalRow


class MemoryClickLedger:
    """`ClickLedger` in memory. `now` is a clock in Unix seconds, one for all users of `counts`."""

    def __init__(self, counts: MemoryClickTables, now: Callable[[], float]) -> None:
        self._counts = counts
        self._now = now

    async def register(self, journal_id: UUID) -> int:
        await trio.lowlevel.checkpoint()
        journal = self._counts.journals.setdefault(journal_id, MemoryJournalRow())
        journal.last_sequence = None
        return journal.folded

    async def watermark(self, journal_id: UUID) -> int | None:
        await trio.lowlevel.checkpoint()
        journal = self._counts.journals.get(journal_id)
        return journal.folded if journal else None

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, int]:
        await trio.lowlevel.checkpoint()
        journals = self._counts.journals
        return {key: journals[key].folded for key in journal_ids if key in journals}

    async def complete(self, journal_id: UUID, last: int) -> None:
        await trio.lowlevel.checkpoint()
        if (journal := self._counts.journals.get(journal_id)) is not None:
            journal.last_sequence = last

    async def share(
        self, owner: str, ttl_s: float, handed_over: Collection[UUID] = ()
    ) -> JournalShare:
        await trio.lowlevel.checkpoint()
        now = self._now()
        self._counts.aggregators[owner] = now + ttl_s
        for journal_id in handed_over:
            if (row := self._counts.journals.get(journal_id)) is not None and row.owner == owner:
                row.release()
        rows = [row for row in self._counts.journals.values() if row.is_leasable]
        leased = Counter(row.owner for row in rows)
        live = {
            name: leased[name]
            for name, expires in self._counts.aggregators.items()
            if name == owner or expires > now
        }
        free = sum(row.owner is None or (row.owner != owner and row.expires <= now) for row in rows)
        share = share_of(owner, live, len(rows), free)
        await trio.lowlevel.checkpoint()
        return share

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        journals = sorted(
            (key, journal) for key, journal in self._counts.journals.items() if journal.is_leasable
        )
        leased = [(key, journal) for key, journal in journals if journal.owner == owner][:limit]
        free = [
            (key, journal)
            for key, journal in journals
            if journal.owner is None or (journal.owner != owner and journal.expires <= now)
        ]
        free.sort(key=lambda item: item[1].expires)
        for key, journal in free[: limit - len(leased)]:
            journal.owner = owner
            journal.fencing_token = max(journal.fencing_token + 1, int(now * 1_000_000))
            leased.append((key, journal))
        for _, journal in leased:
            journal.renew(now, ttl_s)
        leases = [
            JournalLease(key, journal.folded, journal.fencing_token) for key, journal in leased
        ]
        await trio.lowlevel.checkpoint()
        return leases

    async def renew(
        self,
        owner: str,
        ttl_s: float,
        handed_over: Collection[UUID],
        limit_of: Callable[[JournalShare], int],
    ) -> tuple[JournalShare, list[JournalLease]]:
        share = await self.share(owner, ttl_s, handed_over)
        return share, await self.lease(owner, limit_of(share), ttl_s)

    async def release(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        self._counts.aggregators.pop(owner, None)
        for journal in self._counts.journals.values():
            if journal.owner == owner:
                journal.release()

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """As the port says, and ValueError for a gap, FormatError for a damaged batch."""
        slices = batches_after(lease.folded, batches)
        if not slices:
            return lease
        folded: list[Click] = []
        for batch, after in slices:
            for _ in validate_frames(batch):
                pass
            folded += (
                click._replace(at_us=clamped(click.at_us)) for click in clicks(batch.payload, after)
            )
            await trio.lowlevel.checkpoint()
        moved = lease._replace(folded=slices[-1].batch.last)
        self._advance(lease, moved)
        self._counts.add(lease.journal_id, folded)
        await trio.lowlevel.checkpoint()
        return moved

    async def delete_journal(self, journal_id: UUID) -> None:
        await trio.lowlevel.checkpoint()
        if (journal := self._counts.journals.get(journal_id)) is not None:
            journal.retired = True

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        if not batches_after(lease.folded, [batch]):
            return lease
        await trio.lowlevel.checkpoint()
        moved = lease._replace(folded=batch.last)
        self._advance(lease, moved)
        self._counts.dead_letters.append((lease.journal_id, batch, reason))
        await trio.lowlevel.checkpoint()
        return moved

    def _advance(self, lease: JournalLease, moved: JournalLease) -> None:
        journal_id, folded, fencing_token = lease
        journal = self._counts.journals.get(journal_id)
        if journal is None or (journal.folded, journal.fencing_token) != (folded, fencing_token):
            raise StaleLeaseError(
                f"journal {journal_id} is not at click {folded} under fencing token {fencing_token}"
            )
        now = self._now()
        journal.folded = moved.folded
        if journal.owner is not None:
            journal.renew(now, journal.ttl_s)
        self._counts.committed_at = datetime.fromtimestamp(now, UTC)
