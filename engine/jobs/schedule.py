"""Schedules of periodic jobs: a fixed interval, or a cron expression in a time zone."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(hours=1, seconds=1)


class Every(NamedTuple):
    """Due at each multiple of `seconds` since 1970, plus `offset_s`: at the same times on all machines."""

    seconds: int
    offset_s: int = 0

    def last_due(self, now: datetime) -> datetime:
        """Return the last due time, at or before `now`."""
        passed = int((now - _EPOCH).total_seconds()) - self.offset_s
        return _EPOCH + timedelta(seconds=passed // self.seconds * self.seconds + self.offset_s)

    def __str__(self) -> str:
        return f"every {timedelta(seconds=self.seconds)}"


class Cron(NamedTuple):
    """Due by an expression of five fields, with the rules of Debian's cron when clocks change: a time in the
    skipped hour is due at its end, a time in the repeated hour is due once."""

    expression: str
    zone: str = "UTC"

    def last_due(self, now: datetime) -> datetime:
        """Return the last due time, at or before `now`."""
        # The search goes backwards from an hour ahead, because in the repeated hour the local clock is
        # behind times that were due already.
        local = (now + _AHEAD).astimezone(ZoneInfo(self.zone)).replace(microsecond=0)
        times = (due.astimezone(UTC) for due in CronSim(self.expression, local, reverse=True))
        return next(due for due in times if due <= now)

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


Schedule = Every | Cron
