"""Who ships the journals of one edge: its own living one, and those that dead edges left behind."""

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import trio

from actors.shipper import WATERMARK_INTERVAL_S, Shipper, Source
from engine.errors import UnavailableError
from engine.ports import ClickLedger, ClickStream

logger = logging.getLogger("waypost.journals")

ORPHAN_INTERVAL_S: Final = 2.0
MAX_ORPHANS_AT_ONCE: Final = 4


class LivingJournal(Source, Protocol):
    """The writer's journal, as far as shipping goes."""

    appended: int
    synced: int

    async def wait_synced(self, above: int) -> None: ...

    def forget(self, committed: int) -> None: ...


class Orphan(Source, Protocol):
    """A dead edge's journal that this process has adopted."""

    dropped_clicks: int
    dropped_bytes: int

    def close(self, *, remove: bool) -> None: ...


class LivingShipper:
    """Ships the journal that the door writes, for ever."""

    def __init__(
        self,
        journal: LivingJournal,
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
        linger_s: float,
    ) -> None:
        self._journal = journal
        self._linger_s = linger_s
        self.shipper = Shipper(journal, stream, ledger, window_bytes=window_bytes)

    @property
    def pending(self) -> int:
        """Clicks that are answered and recorded, and not known to be committed."""
        return self._journal.appended - self.shipper.committed

    async def run(self) -> None:
        await self.shipper.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            while True:
                await self._journal.wait_synced(self.shipper.shipped)
                if not await self.shipper.ship_ready():
                    await trio.sleep(WATERMARK_INTERVAL_S)  # the window is full
                await trio.sleep(self._linger_s)

    async def _follow(self) -> None:
        while True:
            await trio.sleep(WATERMARK_INTERVAL_S)
            if await self.shipper.follow_watermark():
                self._journal.forget(self.shipper.committed)

    async def drain(self) -> None:
        """Ship what is synced. The caller bounds the time."""
        while self.shipper.shipped < self._journal.synced:
            if not await self.shipper.ship_ready():
                await trio.sleep(WATERMARK_INTERVAL_S)
                await self.shipper.follow_watermark()


class Orphans:
    """Adopts the orphans of this machine, ships them until all is committed, and deletes them."""

    def __init__(
        self,
        find: Callable[[], list[Orphan]],
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        window_bytes: int,
    ) -> None:
        """`find` returns orphans that this process has just taken the lock of."""
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
        self.scanned = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                for orphan in self._find():
                    self.adopted += 1
                    nursery.start_soon(self._ship, orphan)
                self.scanned = True
                await trio.sleep(ORPHAN_INTERVAL_S)

    async def _ship(self, orphan: Orphan) -> None:
        shipper = Shipper(orphan, self._stream, self._ledger, window_bytes=self._window_bytes)
        self._shippers[orphan.id.hex] = shipper
        removed = False
        try:
            async with self._limit:
                await shipper.start()
                while await self._step(shipper):
                    pass
                await self._retire(orphan)
                removed = True
        finally:
            orphan.close(remove=removed)
            del self._shippers[orphan.id.hex]

    async def _step(self, shipper: Shipper) -> bool:
        """Whether there is more to do."""
        shipped = await shipper.ship_ready()
        moved = await shipper.follow_watermark()
        if shipper.shipped > shipper.committed:
            if not shipped and not moved:
                await trio.sleep(WATERMARK_INTERVAL_S)
            return True
        return shipper.source.read(shipper.committed, 1) is not None

    async def _retire(self, orphan: Orphan) -> None:
        self.dropped_clicks += orphan.dropped_clicks
        self.dropped_bytes += orphan.dropped_bytes
        if orphan.dropped_clicks or orphan.dropped_bytes:
            logger.error(
                "journal %s had damage: %d clicks and %d bytes could not be read",
                orphan.id.hex, orphan.dropped_clicks, orphan.dropped_bytes,
                extra={"event": "journal_damaged", "journal": orphan.id.hex},
            )  # fmt: skip
        try:
            await self._stream.reset(orphan.id)
            await self._ledger.retire(orphan.id)
        except UnavailableError as error:
            # Only tidiness: an empty stream and a finished row stay behind.
            logger.warning("journal %s left traces: %s", orphan.id.hex, error)
        self.finished += 1

    @property
    def pending(self) -> int:
        """Journals of dead edges that are not wholly committed, as far as known."""
        return len(self._shippers)

    def statistics(self) -> dict[str, Any]:
        return {
            "adopted": self.adopted,
            "finished": self.finished,
            "dropped_clicks": self.dropped_clicks,
            "dropped_bytes": self.dropped_bytes,
            "shippers": [shipper.statistics() for shipper in self._shippers.values()],
        }
