"""`waypost rebuild` and `waypost reclassify`: recounts of days from their raw clicks."""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
import trio
from rich.console import Console
from rich.progress import Progress

from actors.operations.runtime import Stop
from api.command.servers import prepared_servers, run_until_stopped
from api.command.step_display import LINE_INTERVAL_S
from engine.common.errors import StoppedError, WaypostError
from engine.operations.settings import Settings
from engine.stats.profile_day import ProfileDay
from storage.postgres.database import Database
from storage.stats.rebuild import DayRebuild, RebuildError

LONGEST_DAYS: Final = 3660


class RecountResult(NamedTuple):
    """Number of recounted days (each of one profile), and of the clicks in them."""

    days: int
    clicks: int


# Recounts one day of a profile. Returns the number of its clicks, or 0 if nothing has changed.
Work = Callable[[DayRebuild, ProfileDay], Awaitable[int]]


def days_between(first: date, last: date) -> list[date]:
    """Return the days from first to last, both included. Raises WaypostError for more than LONGEST_DAYS."""
    count = (last - first).days + 1
    if not 1 <= count <= LONGEST_DAYS:
        raise WaypostError(
            f"--from must not be after --to, nor more than {LONGEST_DAYS} days before"
        )
    return [first + timedelta(days=n) for n in range(count)]


async def rebuild(
    settings: Settings, folder: Path, day: date, profile: str | None, stop: Stop
) -> RecountResult:
    """Recount a day from its raw clicks, for all profiles or for one. Raises WaypostError."""

    async def work(rebuild: DayRebuild, profile_day: ProfileDay) -> int:
        return await rebuild.rebuild(profile_day)

    return await _recount(settings, folder, Recount([day], profile, work), stop)


async def reclassify(
    settings: Settings, folder: Path, days: list[date], everything: bool, stop: Stop
) -> RecountResult:
    """Classify raw clicks by the present rules, and recount the days where a classification changed.

    Raises WaypostError.
    """

    async def work(rebuild: DayRebuild, profile_day: ProfileDay) -> int:
        try:
            return await rebuild.reclassify(profile_day, everything=everything)
        except RebuildError:
            return 0  # The retention job is about to delete its raw clicks.

    return await _recount(settings, folder, Recount(days, None, work), stop)


class Recount:
    """Recount of days, one profile after the other, with its result so far."""

    def __init__(self, days: list[date], profile: str | None, work: Work) -> None:
        self._days = days
        self._profile = profile
        self._work = work
        self._refusals: list[RebuildError] = []
        self._result = RecountResult(0, 0)
        self._finished = False

    async def run(self, rebuild: DayRebuild) -> None:
        """Recount all days. Continue after a profile that cannot be recounted."""
        with _progress() as report:
            for number, day in enumerate(self._days):
                profile_days = await rebuild.profiles(day, self._profile)
                for done, profile_day in enumerate(profile_days):
                    report(f"{day}", number + done / len(profile_days), len(self._days))
                    await self._recount(rebuild, profile_day)
                report(f"{day}", number + 1, len(self._days))
        self._finished = True

    async def _recount(self, rebuild: DayRebuild, profile_day: ProfileDay) -> None:
        try:
            clicks = await self._work(rebuild, profile_day)
        except RebuildError as error:
            self._refusals.append(error)
            return
        days = self._result.days + bool(clicks)
        self._result = RecountResult(days, self._result.clicks + clicks)

    def result(self) -> RecountResult:
        """Return the result of a run.

        Raises StoppedError if it was stopped, RebuildError if a profile could not be recounted.
        """
        days = self._result.days
        if not self._finished:
            raise StoppedError(f"stopped after {days:,} days; run it again for the rest")
        if self._refusals:
            recounted = f" ({days:,} other days were counted again)" if days else ""
            raise RebuildError(f"{self._refusals[0]}{recounted}")
        return self._result


async def _recount(settings: Settings, folder: Path, recount: Recount, stop: Stop) -> RecountResult:
    settings = await prepared_servers(settings, folder, "waypost_aggregator")
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=3,
        query_timeout_ms=settings.query_timeout_ms,
    )
    try:
        await run_until_stopped(partial(recount.run, DayRebuild(database)), stop)
    except* WaypostError as group:
        raise group.exceptions[0] from None
    finally:
        with trio.CancelScope(shield=True):
            await database.close()
    return recount.result()


@contextmanager
def _progress() -> Iterator[Callable[[str, float, int], None]]:
    """Yield a function that reports progress: a bar on a terminal, else a line every LINE_INTERVAL_S."""
    if not sys.stderr.isatty():
        yield LineProgress(time.monotonic).report
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("counting", total=1)
        yield lambda label, done, total: bar.update(
            task, description=label, completed=done, total=total
        )


class LineProgress:
    """Progress of a recount in a log: as many lines as it lasts long, none for a short one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._printed_at = clock()

    def report(self, label: str, done: float, total: int) -> None:
        """Print the days done of `total`, unless the last line is younger than LINE_INTERVAL_S."""
        now = self._clock()
        if now - self._printed_at >= LINE_INTERVAL_S:
            self._printed_at = now
            click.echo(f"{label}: {done:.0f} of {total} days", err=True)
