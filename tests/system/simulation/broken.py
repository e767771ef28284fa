"""Builds of the engine that are broken on purpose, each in one place. The simulation must catch all of them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import trio

from actors.clicks.aggregator import GAP_WAIT_S, MAX_BATCHES, READ_WAIT_MS, Aggregator
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import OrphanedJournal, OrphanShipper
from actors.clicks.shipper import WATERMARK_INTERVAL_S, Shipper
from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import clicks
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.stats.ledger_ports import JournalLease
from storage.clicks.journal import Journal
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.clicks.memory_stream import MemoryClickStream
from storage.stats.memory_click_tables import MemoryClickTables
from tests.system.simulation.world import Build

# Between two transactions that should be one.
BETWEEN_S = 0.1


class _NoRows(MemoryClickTables):
    """The journals of other tables, without rows of clicks."""

    def add(self, journal_id: UUID, clicks: Sequence[Click]) -> None:
        return


class TwoTransactions(MemoryClickLedger):
    """A ledger that advances the watermark in one transaction and counts in another."""

    def __init__(self, counts: MemoryClickTables, now: Callable[[], float]) -> None:
        super().__init__(counts, now)
        self._watermarks = MemoryClickLedger(_NoRows(journals=counts.journals), now)

    def _count(self, lease: JournalLease, batches: Sequence[Batch]) -> None:
        uncounted = [
            click
            for batch in batches
            for sequence, click in enumerate(clicks(batch.payload), batch.first)
            if sequence > lease.folded
        ]
        self._counts.add(lease.journal_id, uncounted)


class WatermarkFirst(TwoTransactions):
    """The watermark is committed before the counts: an aggregator killed between the two loses a batch."""

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        moved = await self._watermarks.commit(lease, batches)
        await trio.sleep(BETWEEN_S)
        self._count(lease, batches)
        return moved


class CountsFirst(TwoTransactions):
    """The counts are committed before the watermark: every aggregator that reads a batch counts it."""

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        self._count(lease, batches)
        await trio.sleep(BETWEEN_S)
        return await self._watermarks.commit(lease, batches)


class TokenIgnored(MemoryClickLedger):
    """An aggregator that knows the watermark may commit, with or without the lease."""

    def _advance(self, lease: JournalLease, moved: JournalLease) -> None:
        row = self._counts.journals.get(lease.journal_id)
        super()._advance(lease._replace(fencing_token=row.fencing_token if row else 0), moved)


class NothingFenced(MemoryClickLedger):
    """Neither the fencing token nor the watermark is compared: two aggregators count the same batch."""

    def _advance(self, lease: JournalLease, moved: JournalLease) -> None:
        row = self._counts.journals.get(lease.journal_id)
        if row is None:
            raise StaleLeaseError("gone")
        super()._advance(lease._replace(folded=row.folded, fencing_token=row.fencing_token), moved)


class AddedAnyway(MemoryClickStream):
    """An entry is added behind any other, so that a loss leaves a gap. By itself this is exact."""

    def _add(self, entries: list[Batch], previous: int, batch: Batch) -> bool:
        if not entries or entries[-1].last < batch.last:
            super()._add(entries, entries[-1].last if entries else 0, batch)
        return True


class GapsCommitted(MemoryClickLedger):
    """A gap before a batch is taken for committed."""

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        for batch in batches:
            row = self._counts.journals.get(lease.journal_id)
            if batch.first > lease.folded + 1 and row is not None:
                skipped = lease._replace(folded=batch.first - 1)
                self._advance(lease, skipped)
                lease = skipped
            lease = await super().commit(lease, [batch])
        return lease


class GapsNotAwaited(Aggregator):
    """Every batch that is read is folded, whether it continues the watermark or not."""

    async def _fold_once(self, journal: Any) -> bool:
        folded = journal.lease.folded
        batches = await self._stream.read(journal.id, folded, MAX_BATCHES, READ_WAIT_MS)
        if not batches:
            await trio.sleep(GAP_WAIT_S)
            return True
        for batch in batches:
            await self._commit(journal, [batch])
        return True


class ForgottenWhenShipped(ActiveJournalShipper):
    """Segments are deleted when Redis has them, and not when Postgres has."""

    async def _follow(self) -> None:
        while True:
            await trio.sleep(0.1)
            await self.shipper.follow_watermark()
            self._journal.forget(self.shipper.shipped, 0.0)


class RemovedWhenShipped(OrphanShipper):
    """A dead edge's journal is deleted when Redis has it."""

    async def _step(self, shipper: Shipper) -> bool:
        await shipper.ship_ready()
        await shipper.follow_watermark()
        await trio.sleep(WATERMARK_INTERVAL_S)
        return shipper.source.read(shipper.shipped, 1) is not None


class RetiredFirst(OrphanShipper):
    """A row is deleted while its clicks are still on the disk: a recovery counts them again."""

    async def _finish(self, orphan: OrphanedJournal) -> None:
        with suppress(UnavailableError):
            await self._ledger.delete_journal(orphan.id)
        await trio.sleep(10)
        await super()._finish(orphan)


class LossNotNoticed(ActiveJournalShipper):
    """A watermark that stands still does not make the shipper check the stream."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        setattr(self.shipper, "_look_for_loss", trio.lowlevel.checkpoint)  # noqa: B010


def _note_the_highest(shipper: Shipper) -> None:
    """Have a shipper believe the highest watermark that it has ever seen."""
    note = shipper._note

    def highest(watermark: int) -> bool:
        return note(max(watermark, shipper.watermark))

    setattr(shipper, "_note", highest)  # noqa: B010


class WatermarkNeverBack(ActiveJournalShipper):
    """A watermark that went back is taken for an old one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _note_the_highest(self.shipper)


class NotRegisteredAgain(ActiveJournalShipper):
    """A journal is registered when it begins, and never again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        read = self.shipper._read_watermark

        async def read_only(*, register: bool = False) -> bool:
            return await read(register=register and not self.shipper.registered)

        setattr(self.shipper, "_read_watermark", read_only)  # noqa: B010


class OldLeaseKept(Aggregator):
    """An aggregator reads on above the watermark that it knows, though Postgres went back."""

    def _went_back(self, known: JournalLease, renewed: JournalLease) -> bool:
        return False


class NothingKept(Journal):
    """Segments are deleted as soon as they are counted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "kept_ms": 0})


class NeverSynced(Journal):
    """`synced` advances without the disk."""

    def _sync_files(self, fds: list[int], names: bool) -> None:
        return


class ShippedUnsynced(Journal):
    """The shipper may read clicks that are not on the disk yet."""

    async def wait_synced(self, above: int) -> None:
        while self.appended <= above:  # noqa: ASYNC110
            await trio.sleep(0.01)

    def read(self, after: int, max_bytes: int) -> Batch | None:
        synced, self.synced = self.synced, self.appended
        try:
            return super().read(after, max_bytes)
        finally:
            self.synced = synced


class NamesNotSynced(Journal):
    """The names of new segments are left to the kernel."""

    def _sync_files(self, fds: list[int], names: bool) -> None:
        super()._sync_files(fds, names=False)


class Acknowledged(Journal):
    """Clicks that could not be written are counted as recorded."""

    def append(self, records: list[bytes]) -> bool:
        super().append(records)
        return True


class NotBlottedOut(Journal):
    """The bytes of a failed write stay, although its clicks were counted as unrecorded."""

    def _zero_failed_write(self, size: int) -> None:
        return


class SyncedAgain(Journal):
    """A failed sync is only repeated, while the kernel regards its pages as clean."""

    def _rewrite_unsynced(self) -> bool:
        self._in_doubt = False
        return True


# With a seed that is known to catch it; others do too, and are tried after it.
BUILDS = {
    "watermark before the transaction": (7, Build(ledger=WatermarkFirst)),
    "watermark after the transaction": (5, Build(ledger=CountsFirst)),
    "fencing token not checked": (52, Build(ledger=TokenIgnored)),
    "neither fencing token nor watermark checked": (14, Build(ledger=NothingFenced)),
    "gap not awaited": (
        12,
        Build(stream=AddedAnyway, ledger=GapsCommitted, aggregator=GapsNotAwaited),
    ),
    "segment deleted when shipped": (13, Build(living=ForgottenWhenShipped)),
    "orphan removed when shipped": (6, Build(orphans=RemovedWhenShipped)),
    "row retired before its clicks are deleted": (222, Build(orphans=RetiredFirst)),
    "loss not looked for": (91, Build(living=LossNotNoticed)),
    "watermark never goes back": (11, Build(living=WatermarkNeverBack)),
    "not registered again": (61, Build(living=NotRegisteredAgain)),
    "old lease kept": (75, Build(aggregator=OldLeaseKept)),
    "counted segments deleted": (25, Build(journal=NothingKept)),
    "never synced": (1, Build(journal=NeverSynced)),
    "names not synced": (12, Build(journal=NamesNotSynced)),
    "synced again after a failure": (128, Build(journal=SyncedAgain)),
    "silently acknowledged": (0, Build(journal=Acknowledged)),
    "failed write not blotted out": (60, Build(journal=NotBlottedOut)),
    "shipped before it is synced": (66, Build(journal=ShippedUnsynced)),
}
