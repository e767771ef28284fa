"""The shipper of the journal that an edge writes, for as long as the edge runs."""

import logging
from contextlib import suppress
from typing import Final, Protocol

import trio

from actors.clicks.journal_watch import ShippedJournal, shipped_journal
from actors.clicks.shipper import (
    LOOK_FOR_LOSS_S,
    WATERMARK_INTERVAL_S,
    JournalSource,
    Rollbacks,
    Shipper,
)
from actors.clicks.watermarks import Watermarks, until_next
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger

logger = logging.getLogger("waypost.journals")

READ_RETRY_S: Final = 1.0

PENDING_CLICKS: Final = Metric(
    "waypost_journal_pending_clicks",
    "Clicks and views in journals that are not known to be committed to Postgres; 0: all are",
)


class ActiveJournal(JournalSource, Protocol):
    """The journal that this edge writes, as its shipper sees it."""

    @property
    def appended(self) -> int: ...

    @property
    def synced(self) -> int: ...

    async def wait_synced(self, above: int) -> None: ...

    def forget(self, committed: int, seen_s_ago: float) -> None: ...

    def discard(self) -> None: ...


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
        rollbacks: Rollbacks | None = None,
        watermarks: Watermarks | None = None,
    ) -> None:
        self._journal = journal
        self._stream = stream
        self._ledger = ledger
        self._linger_s = linger_s
        self.shipper = Shipper(
            journal,
            stream,
            ledger,
            window_bytes=window_bytes,
            rollbacks=rollbacks,
            watermarks=watermarks,
        )

    @property
    def pending(self) -> int:
        """Clicks that are recorded and not known to be in all counts."""
        return self._journal.appended - self.shipper.watermark

    def samples(self) -> list[Sample]:
        return [PENDING_CLICKS.sample(self.pending), *self.shipper.samples()]

    async def run(self) -> None:
        self.shipper.moved_at = trio.current_time()
        await self.shipper.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            while True:
                # Not for ever: a fresh start may take `shipped` back while no visitor comes.
                with trio.move_on_after(LOOK_FOR_LOSS_S):
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
            await trio.sleep(until_next(self.shipper.interval_s))
            if await self.shipper.follow_watermark():
                self.forget()
            if not self.pending:
                self.shipper.moved_at = trio.current_time()

    def forget(self) -> None:
        """Have the journal delete what Postgres has counted, after the time for which it is kept."""
        self._journal.forget(self.shipper.watermark, trio.current_time() - self.shipper.read_at)

    def states(self) -> list[ShippedJournal]:
        return [shipped_journal(self.shipper, self.pending)]

    async def end_journal(self, *, kept: bool) -> bool:
        """End a journal that is wholly counted. Returns whether its folder may be deleted.

        One that is `kept` stays for the edge that adopts it, because Postgres may still lose its counts.
        """
        if not kept or not self._journal.appended:
            return await self.delete_journal()
        # If this fails, an aggregator leases a journal without clicks until it is adopted.
        with suppress(UnavailableError):
            await self._ledger.complete(self._journal.id, self._journal.appended)
        return False

    async def delete_journal(self) -> bool:
        """Delete a journal that is wholly counted. Returns False when its folder must stay."""
        try:
            self._journal.discard()
        except OSError as error:
            self._report(error)
            return False
        return await delete_journal(self._journal, self._stream, self._ledger)

    async def drain(self) -> None:
        """Ship all that is synced. The caller bounds the time."""
        while self.shipper.shipped < self._journal.synced:
            # start() resets the stream, so ship nothing before it has run.
            if not self.shipper.registered or not await self.shipper.ship_ready():
                await trio.sleep(WATERMARK_INTERVAL_S)
                await self.shipper.follow_watermark()

    async def wait_counted(self) -> None:
        """Wait until all that is recorded is counted. The caller bounds the time."""
        while self.pending:
            await trio.sleep(WATERMARK_INTERVAL_S)
            await self.shipper.follow_watermark()


async def delete_journal(journal: JournalSource, stream: ClickStream, ledger: ClickLedger) -> bool:
    """Delete the stream of a journal without clicks, and retire its row. Returns False if that must be tried
    again."""
    try:
        await stream.reset(journal.id)
        await ledger.delete_journal(journal.id)
    except UnavailableError as error:
        # Its row would be leased for ever, and its entries kept: the caller has to try again.
        logger.warning("journal %s is not retired yet: %s", journal.id.hex, error)
        return False
    return True
