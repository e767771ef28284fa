"""The watermarks of the journals that a process ships, read together.

However many journals a process has, it reads their watermarks in one transaction at a time: who wants one joins
the read that is about to begin. Shippers pause until the next multiple of their interval, so that they meet.
"""

from typing import Final
from uuid import UUID

import trio

from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import ClickLedger

COLLECT_S: Final = 0.02

WATERMARK_READS: Final = Metric(
    "waypost_watermark_reads_total", "Transactions that read how far journals are counted"
)


class _Read:
    """Read of watermarks: the journals that have joined it, and its result."""

    def __init__(self) -> None:
        self.journals: set[UUID] = set()
        self.watermarks: dict[UUID, int] | None = None
        self.error = ""
        self.ended = trio.Event()


class Watermarks:
    """The watermarks as Postgres has them. `reads` counts transactions."""

    def __init__(self, ledger: ClickLedger) -> None:
        self._ledger = ledger
        self._next: _Read | None = None
        self.reads = 0

    async def read(self, journal_id: UUID) -> int | None:
        """Return the journal's watermark, None for one without a row, as of a time after the call.

        Raises UnavailableError.
        """
        while True:
            if (read := self._next) is None:
                read = self._next = _Read()
                read.journals.add(journal_id)
                await self._perform(read)
            else:
                read.journals.add(journal_id)
                await read.ended.wait()
            if read.error:
                raise UnavailableError(read.error)
            if read.watermarks is not None:
                return read.watermarks.get(journal_id)
            # The task that began it was cancelled: begin another.

    async def _perform(self, read: _Read) -> None:
        try:
            await trio.sleep(COLLECT_S)
            # Who comes later may know of a later commit, which this read need not see.
            self._next = None
            self.reads += 1
            read.watermarks = await self._ledger.watermarks_of(sorted(read.journals))
        except UnavailableError as error:
            read.error = str(error)
        finally:
            if self._next is read:
                self._next = None
            read.ended.set()

    def samples(self) -> list[Sample]:
        return [WATERMARK_READS.sample(self.reads)]


def until_next(interval_s: float) -> float:
    """Return the seconds until the next multiple of the interval; until the one after it, if that is near."""
    rest_s = interval_s - trio.current_time() % interval_s
    return rest_s if rest_s > interval_s / 10 else rest_s + interval_s
