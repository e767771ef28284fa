"""When something periodic was last due: every so often, or by a cron expression in a time zone."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(hours=1, seconds=1)


class Every(NamedTuple):
    """Multiples of so many seconds since 1970, alike on all machines. `offset_s` moves them."""

    seconds: int
    offset_s: int = 0

    def last_due(self, now: datetime) -> datetime:
        passed = int((now - _EPOCH).total_seconds()) - self.offset_s
        return _EPOCH + timedelta(seconds=passed // self.seconds * self.seconds + self.offset_s)

    def __str__(self) -> str:
        return f"every {timedelta(seconds=self.seconds)}"


class Cron(NamedTuple):
    """Five fields, as Debian's cron reads them: what falls into the hour that a change to summer time
    skips is due at its end, what falls into the hour that is there twice is due once."""

    expression: str
    zone: str = "UTC"

    def last_due(self, now: datetime) -> datetime:
        # Backwards from an hour ahead: while an hour is there for the second time, the clock shows less
        # than what is due already.
        local = (now + _AHEAD).astimezone(ZoneInfo(self.zone)).replace(microsecond=0)
        times = (due.astimezone(UTC) for due in CronSim(self.expression, local, reverse=True))
        return next(due for due in times if due <= now)

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


Schedule = Every | Cron
