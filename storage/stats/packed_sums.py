"""Sums over the packed clicks of one question, outside the loop if they are many.

Whole days are added up by their day sums (engine/stats/packed/day_sums.py), so few columns are unpacked.

Clicks are unpacked a part at a time, of whole UTC months: a visitor is counted once within a UTC day, so the
sums of parts add up. Of many clicks, no more than one part is unpacked at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Final, TypeVar

from engine.common.errors import UnavailableError
from engine.stats.packed.column_sums import ColumnSums, SketchKey, column_sketches, column_sums
from engine.stats.packed.day_sums import sums_of_days
from engine.stats.packed.profile_clicks import ProfileClicks
from engine.stats.plan import CountsStatement
from storage.stats.damaged_deltas import DAMAGE
from storage.stats.pieces import PieceRows, StoredPieces, clicks_of, day_sums_of, pieces_of

MAX_CLICKS: Final = (
    4_000_000  # of one question: five years of days that are barely not hot, and thin ones
)
CLICKS_IN_LOOP: Final = 2_000  # unpacked and summed in about a millisecond
DAYS_IN_LOOP: Final = 40  # whose sums are unpacked and added up in about a millisecond
PART_CLICKS: Final = 250_000
KEPT_CLICKS: Final = 300_000  # kept unpacked from statement to statement, in some 100 bytes each

T = TypeVar("T")


class PackedSums:
    """The sums of a question's statements over its packed clicks, and over those of hot days that are in deltas
    still."""

    def __init__(self, stored: StoredPieces, parts: Sequence[int]) -> None:
        """`parts`: of day sums, those that were read."""
        self._packed = _MonthParts(stored.packed)
        self._summed = _Days(stored.summed, parts)
        self._pending = _MonthParts(stored.pending)
        # Of hot days, own events are in no table, so those that wait belong to those that are packed.
        self._with_pending = _MonthParts([*stored.packed, *stored.pending])

    async def packed(self, statement: CountsStatement, *, visitors: bool) -> list[ColumnSums]:
        """Return the sums of each part; visitors only if wanted, as they take the most time."""
        parts = self._with_pending if statement.of_events else self._packed
        sums = await parts.each(partial(_sums, statement, visitors))
        return [*sums, *await self._summed.sums(statement)]

    async def pending(self, statement: CountsStatement) -> list[ColumnSums]:
        return await self._pending.each(partial(_sums, statement, False))

    async def sketches(self, statement: CountsStatement) -> list[dict[SketchKey, bytes]]:
        """Return the visitors of hot days as sketches."""
        return await self._pending.each(partial(_sketches, statement))


def _sums(statement: CountsStatement, visitors: bool, clicks: ProfileClicks) -> ColumnSums:
    return column_sums(clicks, statement, visitors=visitors)


def _sketches(statement: CountsStatement, clicks: ProfileClicks) -> dict[SketchKey, bytes]:
    return column_sketches(clicks, statement)


class _Days:
    """Days that are counted by their sums."""

    def __init__(self, rows: PieceRows, parts: Sequence[int]) -> None:
        self._rows = rows
        self._days = day_sums_of(rows, parts)

    async def sums(self, statement: CountsStatement) -> list[ColumnSums]:
        if not self._rows:
            return []
        if len(self._rows) < DAYS_IN_LOOP:
            return [self._sums(statement)]
        return [await asyncio.to_thread(self._sums, statement)]

    def _sums(self, statement: CountsStatement) -> ColumnSums:
        try:
            return sums_of_days(statement, self._days)
        except DAMAGE as error:
            first, last = self._rows[0]["day"], self._rows[-1]["day"]
            raise UnavailableError(f"sums of {first} to {last} are damaged: {error}") from error


class _MonthParts:
    """Parts of clicks, each of whole UTC months."""

    def __init__(self, rows: PieceRows) -> None:
        self._clicks = clicks_of(rows)
        self._parts = list(_months_together(rows))
        self._kept: list[ProfileClicks] | None = None

    async def each(self, work: Callable[[ProfileClicks], T]) -> list[T]:
        if not self._clicks:
            return []
        if self._clicks < CLICKS_IN_LOOP:
            return self._each(work)
        return await asyncio.to_thread(self._each, work)

    def _each(self, work: Callable[[ProfileClicks], T]) -> list[T]:
        if self._kept is not None:
            return [work(clicks) for clicks in self._kept]
        if self._clicks <= KEPT_CLICKS:
            self._kept = [ProfileClicks(pieces_of(part)) for part in self._parts]
            return self._each(work)
        return [work(ProfileClicks(pieces_of(part))) for part in self._parts]


def _months_together(rows: PieceRows) -> Iterator[PieceRows]:
    """Yield rows in parts of about PART_CLICKS. A segment of a month is of the month of its day."""
    months: defaultdict[date, PieceRows] = defaultdict(list)
    for row in rows:
        months[row["day"].replace(day=1)].append(row)
    part: PieceRows = []
    for month in sorted(months):
        if part and clicks_of(part) + clicks_of(months[month]) > PART_CLICKS:
            yield part
            part = []
        part += months[month]
    if part:
        yield part
