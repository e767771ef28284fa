"""Journals that this process has deleted after their clicks were counted and kept for their time.

Postgres may go back further than that. Then nobody can ship their clicks again, and only this process knows
that they were there. So it counts and logs their loss, and retires their rows, which would be leased
for ever. The list is in memory: MAX_REMEMBERED journals, for REMEMBERED_S. Rows of deleted journals are
purged a day after, and a purged row is no loss.
"""

import logging
from typing import Final
from uuid import UUID

import trio

from actors.clicks.shipper import Rollbacks
from engine.common.errors import UnavailableError
from engine.stats.ledger_ports import ClickLedger

logger = logging.getLogger("waypost.journals")

CHECK_INTERVAL_S: Final = 10.0
REMEMBERED_S: Final = 12 * 3600.0
MAX_REMEMBERED: Final = 1_000


class EndedJournals:
    """Run it as a task; add() each journal that was deleted."""

    def __init__(self, ledger: ClickLedger, rollbacks: Rollbacks) -> None:
        self._ledger = ledger
        self._rollbacks = rollbacks
        # By id, oldest first: the last sequence, and when the journal was deleted.
        self._last: dict[UUID, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def add(self, journal_id: UUID, last: int) -> None:
        """Remember a journal that is deleted and was counted up to `last`."""
        self._last[journal_id] = last, trio.current_time()
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]

    async def run(self) -> None:
        while True:
            await trio.sleep(CHECK_INTERVAL_S)
            try:
                await self.check()
            except UnavailableError:
                continue  # what Postgres still has is known when it answers

    async def check(self) -> None:
        """Compare the watermarks with what was counted. Raises UnavailableError."""
        while self._last:
            oldest = next(iter(self._last))
            if trio.current_time() < self._last[oldest][1] + REMEMBERED_S:
                break
            del self._last[oldest]
        if not self._last:
            return
        watermarks = await self._ledger.watermarks_of(list(self._last))
        for journal_id, (last, _) in list(self._last.items()):
            current = watermarks.get(journal_id, 0)
            if current < last:
                await self._ledger.delete_journal(journal_id)
                del self._last[journal_id]
                self._report(journal_id, last, current)

    def _report(self, journal_id: UUID, last: int, current: int) -> None:
        lost = last - current
        self._rollbacks.add(lost, lost)
        logger.error(
            "journal %s was deleted, and Postgres lost commits and went back from click %d to %d; "
            "%d clicks are lost",
            journal_id.hex, last, current, lost,
            extra={"event": "deleted_journal_went_back", "journal": journal_id.hex},
        )  # fmt: skip
