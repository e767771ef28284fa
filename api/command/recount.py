"""`waypost rebuild` and `waypost reclassify`: counts made anew out of raw clicks."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import click
import trio
from rich.console import Console
from rich.progress import Progress

from actors.operations.runtime import Stop
from api.command.servers import with_servers
from engine.common.errors import UnavailableError, WaypostError
from engine.operations.settings import Settings
from storage.postgres.database import Database
from storage.stats.compaction import ProfileDay
from storage.stats.rebuild import DayRebuild, RebuildError

LONGEST_DAYS: Final = 3660


class RecountResult(NamedTuple):
    """How many profiles' days were counted anew, out of how many clicks."""

    days: int
    clicks: int


def days_between(first: date, last: date) -> list[date]:
    """Both included. Raises WaypostError."""
    count = (last - first).days + 1
    if not 1 <= count <= LONGEST_DAYS:
        raise WaypostError(
            f"--from must not be after --to, nor more than {LONGEST_DAYS} days before"
        )
    return [first + timedelta(days=n) for n in range(count)]


async def rebuild(
    settings: Settings, folder: Path, day: date, profile: str | None, stop: Stop
) -> RecountResult:
    """Count a day anew, of all profiles or one. Raises WaypostError."""

    async def work(rebuild: DayRebuild, one: ProfileDay) -> int:
        return await rebuild.rebuild(one)

    return await _recount(settings, folder, [day], profile, work, stop)


async def reclassify(
    settings: Settings, folder: Path, days: list[date], everything: bool, stop: Stop
) -> RecountResult:
    """Judge raw clicks by the present rule, and count anew the days where that changed something."""

    async def work(rebuild: DayRebuild, one: ProfileDay) -> int:
        try:
            return await rebuild.reclassify(one, everything=everything)
        except RebuildError:
            return 0  # its raw clicks are about to go

    return await _recount(settings, folder, days, None, work, stop)


async def _recount(
    settings: Settings,
    folder: Path,
    days: list[date],
    profile: str | None,
    work: Callable[[DayRebuild, ProfileDay], Awaitable[int]],
    stop: Stop,
) -> RecountResult:
    found = with_servers(settings, folder)
    database = await Database.open(
        found.database_url,
        role="waypost_aggregator",
        size=3,
        query_timeout_ms=found.query_timeout_ms,
    )
    recounted = RecountResult(0, 0)
    refused: list[RebuildError] = []
    finished = False

    async def walk() -> None:
        nonlocal recounted, finished
        counts = DayRebuild(database)
        with _progress() as tell:
            for number, day in enumerate(days):
                profiles = await counts.profiles(day, profile)
                for done, one in enumerate(profiles):
                    tell(f"{day}", number + done / len(profiles), len(days))
                    try:
                        clicks = await work(counts, one)
                    except RebuildError as error:
                        refused.append(error)
                        continue
                    recounted = RecountResult(
                        recounted.days + bool(clicks), recounted.clicks + clicks
                    )
                tell(f"{day}", number + 1, len(days))
        finished = True
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(walk)
            await stop.wait()
            nursery.cancel_scope.cancel()
    except* WaypostError as group:
        raise group.exceptions[0] from None
    finally:
        with trio.CancelScope(shield=True):
            await database.close()
    if not finished:
        raise UnavailableError(f"stopped after {recounted.days:,} days; run it again for the rest")
    if refused:
        others = f" ({recounted.days:,} others were)" if recounted.days else ""
        raise RebuildError(f"{refused[0]}{others}")
    return recounted


@contextmanager
def _progress() -> Iterator[Callable[[str, float, int], None]]:
    """A bar on a terminal, else a line each time that a day is done."""
    if not sys.stderr.isatty():
        yield (
            lambda text, done, of: (
                click.echo(f"{text}: {done:.0f} of {of} days", err=True)
                if done == int(done)
                else None
            )
        )
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("counting", total=1)
        yield lambda text, done, of: bar.update(task, description=text, completed=done, total=of)
