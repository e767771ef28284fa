"""The shipper of the journals that dead edges of this machine left behind.

A journal is adopted, shipped until all of it is counted, kept for a while, and deleted. While it is kept, its
watermark is looked at: Postgres may go back to before its clicks were counted (actors/clicks/shipper.py), and
then it is shipped again. Kept journals are bounded in number and, with the counted clicks of this edge's own
journal, in bytes; the oldest go first.
"""

import logging
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

import trio

from actors.clicks.ended_journals import EndedJournals
from actors.clicks.journal_watch import ShippedJournal, shipped_journal
from actors.clicks.journals import PENDING_CLICKS, delete_journal
from actors.clicks.shipper import JournalSource, Rollbacks, Shipper
from actors.clicks.watermarks import Watermarks, until_next
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger

logger = logging.getLogger("waypost.journals")

ORPHAN_INTERVAL_S: Final = 2.0
RETRY_S: Final = 1.0
UNREADABLE_RETRY_S: Final = 30.0
MAX_ORPHANS_AT_ONCE: Final = 4
MAX_KEPT: Final = 16

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
KEPT_JOURNALS: Final = Metric(
    "waypost_journals_kept", "Journals of dead edges that are counted, and kept for a while"
)
JOURNALS_NOT_KEPT: Final = Metric(
    "waypost_journals_not_kept_total",
    "Counted journals of dead edges deleted before their time: too many, too large, or the disk was full",
)


class OrphanedJournal(JournalSource, Protocol):
    """A dead edge's journal that this process has adopted."""

    @property
    def dropped_clicks(self) -> int: ...

    @property
    def dropped_bytes(self) -> int: ...

    @property
    def bytes_on_disk(self) -> int: ...

    async def sync(self) -> None: ...

    def holds_clicks(self) -> bool: ...

    def discard(self) -> None: ...

    def close(self, *, remove: bool) -> None: ...


class _Kept:
    """A journal that is kept after it was counted."""

    def __init__(self, journal: OrphanedJournal) -> None:
        self.journal = journal
        self.bytes = journal.bytes_on_disk
        self.let_go = trio.Event()


class OrphanShipper:
    """Adopts the orphaned journals of this machine, ships them until all is counted, and deletes them."""

    def __init__(
        self,
        find: Callable[[], list[OrphanedJournal]],
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
        kept_s: float = 0.0,
        kept_bytes: Callable[[], int] = lambda: 0,
        rollbacks: Rollbacks | None = None,
        watermarks: Watermarks | None = None,
    ) -> None:
        """`find` returns orphaned journals whose lock this process has just acquired. `kept_bytes` returns how
        many bytes of counted journals may be kept at the moment."""
        self._find = find
        self._stream = stream
        self._ledger = ledger
        self._window_bytes = window_bytes
        self._kept_s = kept_s
        self._kept_bytes = kept_bytes
        self._rollbacks = rollbacks or Rollbacks()
        self._watermarks = watermarks or Watermarks(ledger)
        self._ended = EndedJournals(ledger, self._rollbacks)
        self._shippers: dict[UUID, Shipper] = {}
        # In the order in which they were counted.
        self._kept: dict[UUID, _Kept] = {}
        self._limit = trio.CapacityLimiter(MAX_ORPHANS_AT_ONCE)
        self.adopted = 0
        self.finished = 0
        self.dropped_clicks = 0
        self.dropped_bytes = 0
        self.unreadable = 0
        self.not_kept = 0
        self._orphans: list[OrphanedJournal] = []
        self._waiting: list[OrphanedJournal] = []

    async def run(self) -> None:
        # After a crash of this actor its process still holds the locks of these journals.
        self._waiting = list(self._orphans)
        self._kept.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ended.run)
            while True:
                self._scan()
                while self._waiting:
                    nursery.start_soon(self._ship, self._waiting.pop())
                self._keep_within_bounds()
                await trio.sleep(ORPHAN_INTERVAL_S)

    def _scan(self) -> None:
        for orphan in self._find():
            self.adopted += 1
            self._orphans.append(orphan)
            self._waiting.append(orphan)
            self._shippers[orphan.id] = Shipper(
                orphan,
                self._stream,
                self._ledger,
                window_bytes=self._window_bytes,
                rollbacks=self._rollbacks,
                watermarks=self._watermarks,
            )

    async def _ship(self, orphan: OrphanedJournal) -> None:
        shipper = self._shippers[orphan.id]
        shipper.registered = False
        while True:
            try:
                async with self._limit:
                    await self._ship_whole(orphan, shipper)
                if shipper.registered and self._kept_s and await self._keep(orphan, shipper):
                    continue
                await self._finish(orphan)
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
        if not shipper.registered:
            if not orphan.holds_clicks():
                return
            shipper.moved_at = trio.current_time()
            await orphan.sync()
            await shipper.start()
        while await self._step(shipper):
            pass
        if shipper.is_recovering:
            shipper.give_up_rest()

    async def _step(self, shipper: Shipper) -> bool:
        """Ship once and read the watermark. Returns whether clicks are left that are not counted."""
        shipped = await shipper.ship_ready()
        moved = await shipper.follow_watermark()
        if shipper.shipped > shipper.watermark:
            if not shipped and not moved:
                await trio.sleep(until_next(shipper.interval_s))
            return True
        return shipper.source.read(shipper.watermark, 1) is not None

    async def _keep(self, orphan: OrphanedJournal, shipper: Shipper) -> bool:
        """Keep a counted journal for its time. Returns True when Postgres went back, and it must be shipped
        again."""
        kept = self._kept[orphan.id] = _Kept(orphan)
        began, is_noted = trio.current_time(), False
        try:
            # The time counts until the last look: while Postgres is away, nobody knows what it still has.
            while not kept.let_go.is_set() and shipper.read_at < began + self._kept_s:
                is_noted = is_noted or await self._note_complete(shipper)
                await shipper.follow_watermark()
                if shipper.shipped > shipper.watermark or shipper.is_recovering:
                    return True
                with trio.move_on_after(until_next(ORPHAN_INTERVAL_S)):
                    await kept.let_go.wait()
        finally:
            self._kept.pop(orphan.id, None)
        return False

    async def _note_complete(self, shipper: Shipper) -> bool:
        """Spare the aggregators a lease on a journal that is counted. Returns whether that was done."""
        try:
            await self._ledger.complete(shipper.source.id, shipper.watermark)
        except UnavailableError as error:
            shipper.last_error = str(error)
            return False
        return True

    def _keep_within_bounds(self) -> None:
        """Let the oldest kept journals go, if there are too many of them or they are too large."""
        kept = [kept for kept in self._kept.values() if not kept.let_go.is_set()]
        size, limit = sum(each.bytes for each in kept), self._kept_bytes()
        while kept and (len(kept) > MAX_KEPT or size > limit):
            oldest = kept.pop(0)
            size -= oldest.bytes
            self.not_kept += 1
            oldest.let_go.set()

    async def _finish(self, orphan: OrphanedJournal) -> None:
        # In this order: clicks that are on the disk must have their watermark, and a row that is not
        # retired has its folder. An edge that adopts an empty folder only has to delete its row and the folder.
        orphan.discard()
        while True:
            if await delete_journal(orphan, self._stream, self._ledger):
                break
            await trio.sleep(RETRY_S)
        orphan.close(remove=True)
        self._orphans.remove(orphan)
        shipper = self._shippers.pop(orphan.id)
        if shipper.watermark:
            self._ended.add(orphan.id, shipper.watermark)
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
        return sum(max(1, s.shipped - s.watermark) for s in self._uncounted())

    def _uncounted(self) -> list[Shipper]:
        return [s for id_, s in self._shippers.items() if id_ not in self._kept]

    def states(self) -> list[ShippedJournal]:
        """Return the state of each journal that is being shipped."""
        return [
            shipped_journal(shipper, max(1, shipper.shipped - shipper.watermark))
            for shipper in self._uncounted()
            if shipper.moved_at is not None
        ]

    def samples(self) -> list[Sample]:
        return [
            PENDING_CLICKS.sample(self.pending_clicks()),
            ADOPTED_JOURNALS.sample(self.adopted),
            UNREADABLE_JOURNALS.sample(self.unreadable),
            DROPPED_CLICKS.sample(self.dropped_clicks),
            DROPPED_BYTES.sample(self.dropped_bytes),
            KEPT_JOURNALS.sample(len(self._kept)),
            JOURNALS_NOT_KEPT.sample(self.not_kept),
        ]
