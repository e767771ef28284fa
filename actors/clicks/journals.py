"""Shippers of one edge's journals: its own active one, and those that dead edges left behind."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

import trio

from actors.clicks.shipper import STALL_S, WATERMARK_INTERVAL_S, JournalSource, Shipper
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger

logger = logging.getLogger("waypost.journals")

ORPHAN_INTERVAL_S: Final = 2.0
READ_RETRY_S: Final = 1.0
RETIRE_RETRY_S: Final = 1.0
UNREADABLE_RETRY_S: Final = 30.0
MAX_ORPHANS_AT_ONCE: Final = 4

PENDING_CLICKS: Final = Metric(
    "waypost_journal_pending_clicks",
    "Clicks and views in journals that are not known to be committed to Postgres; 0: all are",
)
ADOPTED_JOURNALS: Final = Metric(
    "waypost_journals_adopted_total", "Journals of dead edges that were adopted"
)
UNREADABLE_JOURNALS: Final = Metric(
    "waypost_journals_unreadable_total", "Times that an adopted journal could not be read"
)
DROPPED_CLICKS: Final = Metric(
    "waypost_journal_dropped_clicks_total", "Clicks of damaged journals that could not be read"
)
DROPPED_BYTES: Final = Metric(
    "waypost_journal_dropped_bytes_total", "Bytes of damaged journals that could not be read"
)


class ActiveJournal(JournalSource, Protocol):
    """The journal that this edge writes, as its shipper sees it."""

    @property
    def appended(self) -> int: ...

    @property
    def synced(self) -> int: ...

    async def wait_synced(self, above: int) -> None: ...

    def forget(self, committed: int) -> None: ...

    def discard(self) -> None: ...


class OrphanedJournal(JournalSource, Protocol):
    """A dead edge's journal that this process has adopted."""

    @property
    def dropped_clicks(self) -> int: ...

    @property
    def dropped_bytes(self) -> int: ...

    def holds_clicks(self) -> bool: ...

    def discard(self) -> None: ...

    def close(self, *, remove: bool) -> None: ...


class ActiveJournalShipper:
    """Ships the journal that this edge writes, as long as the edge runs."""

    def __init__(
        self,
        journal: ActiveJournal,
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
        linger_s: float,
    ) -> None:
        self._journal = journal
        self._stream = stream
        self._ledger = ledger
        self._linger_s = linger_s
        self.shipper = Shipper(journal, stream, ledger, window_bytes=window_bytes)

    @property
    def pending(self) -> int:
        """Clicks that are recorded and not known to be in all counts."""
        return self._journal.appended - self.shipper.committed

    def samples(self) -> list[Sample]:
        return [PENDING_CLICKS.sample(self.pending), *self.shipper.samples()]

    async def run(self) -> None:
        await self.shipper.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            while True:
                # Not for ever: a fresh start may take `shipped` back while no visitor comes.
                with trio.move_on_after(STALL_S):
                    await self._journal.wait_synced(self.shipper.shipped)
                try:
                    if not await self.shipper.ship_ready():
                        await trio.sleep(WATERMARK_INTERVAL_S)  # the window is full
                except OSError as error:
                    # No crash: enough of those would end this process, and visitors need no reads.
                    self._report(error)
                    await trio.sleep(READ_RETRY_S)
                await trio.sleep(self._linger_s)

    def _report(self, error: OSError) -> None:
        if self.shipper.last_error != str(error):
            self.shipper.last_error = str(error)
            logger.error(
                "journal %s cannot be read: %s", self._journal.id.hex, error,
                extra={"event": "journal_unreadable", "journal": self._journal.id.hex},
            )  # fmt: skip

    async def _follow(self) -> None:
        while True:
            await trio.sleep(WATERMARK_INTERVAL_S)
            if await self.shipper.follow_watermark():
                self._journal.forget(self.shipper.committed)

    async def delete_journal(self) -> bool:
        """Delete a journal that is wholly counted. Returns False when its folder must stay."""
        try:
            self._journal.discard()
        except OSError as error:
            self._report(error)
            return False
        return await _delete_journal(self._journal, self._stream, self._ledger)

    async def drain(self) -> None:
        """Ship all that is synced. The caller bounds the time."""
        while self.shipper.shipped < self._journal.synced:
            # start() resets the stream, so ship nothing before it has run.
            if not self.shipper.registered or not await self.shipper.ship_ready():
                await trio.sleep(WATERMARK_INTERVAL_S)
                await self.shipper.follow_watermark()


class OrphanShipper:
    """Adopts the orphaned journals of this machine, ships them until all is counted, and deletes them."""

    def __init__(
        self,
        find: Callable[[], list[OrphanedJournal]],
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
    ) -> None:
        """`find` returns orphaned journals whose lock this process has just acquired."""
        self._find = find
        self._stream = stream
        self._ledger = ledger
        self._window_bytes = window_bytes
        self._shippers: dict[str, Shipper] = {}
        self._limit = trio.CapacityLimiter(MAX_ORPHANS_AT_ONCE)
        self.adopted = 0
        self.finished = 0
        self.dropped_clicks = 0
        self.dropped_bytes = 0
        self.unreadable = 0
        self._orphans: list[OrphanedJournal] = []
        self._waiting: list[OrphanedJournal] = []

    async def run(self) -> None:
        # After a crash of this actor its process still holds the locks of these journals.
        self._waiting = list(self._orphans)
        async with trio.open_nursery() as nursery:
            while True:
                self._scan()
                while self._waiting:
                    nursery.start_soon(self._ship, self._waiting.pop())
                await trio.sleep(ORPHAN_INTERVAL_S)

    def _scan(self) -> None:
        for orphan in self._find():
            self.adopted += 1
            self._orphans.append(orphan)
            self._waiting.append(orphan)
            self._shippers[orphan.id.hex] = Shipper(
                orphan, self._stream, self._ledger, window_bytes=self._window_bytes
            )

    async def _ship(self, orphan: OrphanedJournal) -> None:
        while True:
            try:
                async with self._limit:
                    await self._ship_whole(orphan, self._shippers[orphan.id.hex])
                return
            except OSError as error:
                self.unreadable += 1
                logger.error(
                    "journal %s cannot be read: %s", orphan.id.hex, error,
                    extra={"event": "journal_unreadable", "journal": orphan.id.hex},
                )  # fmt: skip
            # Later, and without making the other journals wait: the disk may be bad for good.
            await trio.sleep(UNREADABLE_RETRY_S)

    async def _ship_whole(self, orphan: OrphanedJournal, shipper: Shipper) -> None:
        if orphan.holds_clicks():
            await shipper.start()
            while await self._step(shipper):
                pass
        await self._finish(orphan)

    async def _step(self, shipper: Shipper) -> bool:
        """Ship once and read the watermark. Returns whether clicks are left that are not counted."""
        shipped = await shipper.ship_ready()
        moved = await shipper.follow_watermark()
        if shipper.shipped > shipper.committed:
            if not shipped and not moved:
                await trio.sleep(WATERMARK_INTERVAL_S)
            return True
        return shipper.source.read(shipper.committed, 1) is not None

    async def _finish(self, orphan: OrphanedJournal) -> None:
        # In this order: clicks that are on the disk must have their watermark, and a row that is not
        # retired has its folder. An edge that adopts an empty folder only has to delete its row and the folder.
        orphan.discard()
        while True:
            if await _delete_journal(orphan, self._stream, self._ledger):
                break
            await trio.sleep(RETIRE_RETRY_S)
        orphan.close(remove=True)
        self._orphans.remove(orphan)
        del self._shippers[orphan.id.hex]
        self.finished += 1
        self.dropped_clicks += orphan.dropped_clicks
        self.dropped_bytes += orphan.dropped_bytes
        if orphan.dropped_clicks or orphan.dropped_bytes:
            logger.error(
                "journal %s had damage: %d clicks and %d bytes could not be read",
                orphan.id.hex, orphan.dropped_clicks, orphan.dropped_bytes,
                extra={"event": "journal_damaged", "journal": orphan.id.hex},
            )  # fmt: skip

    def pending_clicks(self) -> int:
        """Return at least 1 for each orphaned journal that is not wholly counted, after one more search."""
        self._scan()
        return sum(max(1, s.shipped - s.committed) for s in self._shippers.values())

    def samples(self) -> list[Sample]:
        return [
            PENDING_CLICKS.sample(self.pending_clicks()),
            ADOPTED_JOURNALS.sample(self.adopted),
            UNREADABLE_JOURNALS.sample(self.unreadable),
            DROPPED_CLICKS.sample(self.dropped_clicks),
            DROPPED_BYTES.sample(self.dropped_bytes),
        ]


async def _delete_journal(journal: JournalSource, stream: ClickStream, ledger: ClickLedger) -> bool:
    try:
        await stream.reset(journal.id)
        await ledger.delete_journal(journal.id)
    except UnavailableError as error:
        # Its row would be leased for ever, and its entries kept: the caller has to try again.
        logger.warning("journal %s is not retired yet: %s", journal.id.hex, error)
        return False
    return True
