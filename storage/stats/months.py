"""Packing of months: the deltas and segments of a finished month become one segment, if they are few.

A question about a year of a quiet profile then reads twelve rows. Exactly once, and beside other jobs, as in
storage/stats/settling.py. A month that was packed is packed again when clicks came late.
"""

import logging
from calendar import monthrange
from collections.abc import Callable
from datetime import date
from typing import Final, NamedTuple

import asyncpg

from engine.stats.packed.packed_clicks import decode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import repacked
from engine.stats.profile_day import ProfileDay
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.damaged_deltas import DAMAGE
from storage.stats.segments import ClickSegment, add_segments, piece_of
from storage.stats.settling import lock_days, take_deltas

logger = logging.getLogger("waypost.settler")
_SQL: Final = queries.load("stats/months")
MAX_CLICKS: Final = 8_000  # of a month that becomes one segment: those of more have days with sums
MONTH_PART: Final = -1  # the part of a month's segment, beside those of its first day
MONTHS_AT_ONCE: Final = 1_000
STATEMENT_TIMEOUT_S: Final = 1_200.0


class ProfileMonth(NamedTuple):
    """A UTC month of one profile, by its first day."""

    tenant_id: int
    profile_id: int
    month: date


async def pack_months(database: Database, before: date, report: Callable[[int], None]) -> int:
    """Pack the finished months before the month of `before`. Returns how many were packed."""
    first = before.replace(day=1)
    packed, last = 0, ProfileMonth(0, 0, date.min)
    while True:
        months = await _finished(database, first, last)
        for month in months:
            try:
                packed += await database.transaction(
                    lambda connection, month=month: _pack(connection, month)  # type: ignore[misc]
                )
            except asyncpg.UniqueViolationError:
                # A rebuild has written the month's segment, and the connection with its lock was killed before
                # the one that writes. Nothing is counted twice; the next run packs the month.
                logger.warning(
                    "profile %d's month from %s is not packed yet: a rebuild has written it",
                    month.profile_id, month.month,
                    extra={"event": "month_not_packed"},
                )  # fmt: skip
            except DAMAGE:
                logger.exception(
                    "profile %d's month from %s cannot be packed", month.profile_id, month.month
                )
            report(packed)
        if len(months) < MONTHS_AT_ONCE:
            return packed
        last = months[-1]


async def _finished(database: Database, first: date, after: ProfileMonth) -> list[ProfileMonth]:
    async def work(connection: Connection) -> list[ProfileMonth]:
        await connection.execute(_SQL["no_time_limit"])
        rows = await connection.fetch(
            _SQL["finished_months"], first, MAX_CLICKS, MONTHS_AT_ONCE, *after,
            timeout=STATEMENT_TIMEOUT_S,
        )  # fmt: skip
        return [ProfileMonth(*row) for row in rows]

    return await database.transaction(work)


async def _pack(connection: Connection, month: ProfileMonth) -> bool:
    profile = month[:2]
    listed = {row[0] for row in await connection.fetch(_SQL["days"], *month)}
    if not listed:
        return False  # the month's own segment has all of its clicks
    # The first day's row is the lock of the month's own segment, even where that day is hot.
    wanted = {ProfileDay(*profile, day) for day in {*listed, month.month}}
    locked = await lock_days(connection, sorted(wanted))
    if locked.keys() < wanted:
        return False  # another job has one of the days; the next run packs the month
    days = [day.day for day, hot in locked.items() if not hot]
    if not days:
        return False  # all of them have become hot
    pieces = [
        Piece(day.day, decode(data))
        for day, data in await take_deltas(connection, [ProfileDay(*profile, day) for day in days])
    ]
    segments = await connection.fetch(_SQL["take_segments"], *profile, days, month.month)
    pieces += [piece_of(row) for row in segments]
    if not pieces:
        return False  # another job has settled them into tables
    packed = repacked(ProfileClicks(pieces), month.month, as_segment=True)
    length = monthrange(month.month.year, month.month.month)[1]
    await add_segments(connection, [ClickSegment(*month, MONTH_PART, length, False, packed)])
    await connection.execute(_SQL["forget_days"], *profile, days)
    return True
