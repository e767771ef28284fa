"""The settler: has deltas merged or counted before questions have too many of them to read.

The ledger notes each delta that it commits. A day is due when it has many deltas, when their clicks would
make it hot, and a large day when they are as many as should be counted or packed together. Deltas that nobody
noted, of a process that has ended, are looked for at the start and every LOOK_S. Two settlers may work at
once: the store keeps them apart, and whatever one has not settled yet is counted all the same, as every
question adds the deltas. If days cannot be settled together, each is tried by itself, so that one keeps no
other waiting; that one is tried again when it is due again.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from engine.common.errors import UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.operations.progress import Progress
from engine.stats.profile_day import HOT_CLICKS, MAX_DELTAS, ProfileDay

logger = logging.getLogger("waypost.settler")

TICK_S: Final = 0.5
# Of a hot or thin day: each time that it is settled costs much the same, so that many clicks share it. Only
# days of some thousand clicks a second get there before they have MAX_DELTAS.
LARGE_DUE_CLICKS: Final = 50_000
LOOK_S: Final = 600.0
MAX_NOTED: Final = 100_000
DAYS_AT_ONCE: Final = 20
LOOKED_FOR: Final = 1_000

SETTLED_CLICKS: Final = Metric(
    "waypost_settled_clicks_total", "Clicks in deltas that were merged, packed or counted in tables"
)
FAILED_DAYS: Final = Metric(
    "waypost_settling_failed_total", "Times that a day of a profile could not be settled"
)
DUE_DAYS: Final = Metric(
    "waypost_settling_waiting", "Days of profiles with so many deltas that they are to be settled"
)


class DeltaStore(Protocol):
    """Deltas, and the days that they are of."""

    async def settle(self, days: Sequence[ProfileDay]) -> tuple[int, set[ProfileDay]]:
        """Settle the deltas of these days. Returns the clicks in them, and those that are hot or thin."""

    async def busy_days(self, limit: int) -> list[ProfileDay]:
        """Return days with more deltas, or more clicks in them, than a day should have; the busiest first."""


class _Noted:
    """The deltas of a day that were noted: how many, and their clicks."""

    __slots__ = ("clicks", "deltas")

    def __init__(self) -> None:
        self.deltas = self.clicks = 0

    def add(self, earlier: "_Noted") -> None:
        self.deltas += earlier.deltas
        self.clicks += earlier.clicks


class DeltaSettler:
    """The settler. Run it under a supervisor."""

    def __init__(self, store: DeltaStore) -> None:
        self._store = store
        self._noted: dict[ProfileDay, _Noted] = {}
        # Those of them that are due, in the order in which they became so.
        self._due: dict[ProfileDay, None] = {}
        self._large: set[ProfileDay] = set()
        self._look_at = 0.0
        self._failures = 0
        self._progress = Progress()
        self.settled = 0
        self.failed = 0
        self.last_error = ""

    def note(self, day: ProfileDay, clicks: int) -> None:
        """Note a delta that was committed."""
        noted = self._noted.get(day)
        if noted is None:
            if len(self._noted) >= MAX_NOTED:
                # The next look finds the busy ones.
                self._noted.clear()
                self._due.clear()
            noted = self._noted[day] = _Noted()
        noted.deltas += 1
        noted.clicks += clicks
        limit = LARGE_DUE_CLICKS if day in self._large else HOT_CLICKS
        if noted.deltas >= MAX_DELTAS or noted.clicks >= limit:
            self._due[day] = None

    async def run(self) -> None:
        self._progress.moved(trio.current_time())
        self._look_at = trio.current_time()
        while True:
            try:
                await self._settle_due()
                self._failures = 0
                self._progress.moved(trio.current_time())
                await trio.sleep(TICK_S)
            except UnavailableError as error:
                self._failures += 1
                self.last_error = str(error)
                await trio.sleep(backoff_s(self._failures, first_s=TICK_S, limit_s=5.0))

    async def _settle_due(self) -> None:
        if trio.current_time() >= self._look_at:
            self._due |= dict.fromkeys(await self._store.busy_days(LOOKED_FOR))
            self._look_at = trio.current_time() + LOOK_S
        due = list(self._due)
        for start in range(0, len(due), DAYS_AT_ONCE):
            await self._settle(due[start : start + DAYS_AT_ONCE])

    async def _settle(self, days: Sequence[ProfileDay]) -> None:
        # What is noted from now on may come too late to be settled with these.
        noted = {day: self._noted.pop(day) for day in days if day in self._noted}
        for day in days:
            self._due.pop(day, None)
        try:
            clicks, large = await self._store.settle(days)
        except UnavailableError:
            self._note_again(days, noted)
            raise
        except Exception as error:
            if len(days) > 1:
                self._note_again(days, noted)
                for day in days:
                    await self._settle([day])
                return
            self.failed += 1
            self.last_error = f"{type(error).__name__}: {error}"
            logger.exception(
                "the deltas of profile %d's %s cannot be settled", days[0].profile_id, days[0].day
            )
            return
        self.settled += clicks
        self._remember(large)

    def _note_again(self, days: Sequence[ProfileDay], noted: dict[ProfileDay, _Noted]) -> None:
        """Note again what could not be settled."""
        self._due |= dict.fromkeys(days)
        for day, earlier in noted.items():
            self._noted.setdefault(day, _Noted()).add(earlier)

    def _remember(self, large: set[ProfileDay]) -> None:
        if len(self._large) + len(large) > MAX_NOTED:
            self._large.clear()
        self._large |= large

    def stall(self) -> str:
        """Return a line if it has stood still, or an empty one."""
        return self._progress.stall(trio.current_time(), "settling of deltas", self.last_error)

    def samples(self) -> list[Sample]:
        return [
            SETTLED_CLICKS.sample(self.settled),
            FAILED_DAYS.sample(self.failed),
            DUE_DAYS.sample(len(self._due)),
        ]
