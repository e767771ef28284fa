"""Compaction: UTC days that are over, out of the live tables into those of days, months and cumulated quarters.

Guarantees:
- at every moment the sum over both sides is right: a transaction takes rows out of the live tables and adds
  what they count to the other ones;
- it may end anywhere, and run any number of times; clicks that come late stand in the live tables again, and
  the next run adds them to their day;
- a transaction is bounded: ROLLUPS_AT_ONCE rows of plain counts, or about ROWS_AT_ONCE of those by dimension.

Folds go on meanwhile: plain counts that a fold has locked are waited for, and of counts by dimension whoever
writes takes turns (storage/stats/dimension_counts.py).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple

from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.stats.compaction import (
    CompactedDay,
    QuarterHour,
    compact_quarters,
    expand_day,
    merge_days,
)
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.dimension_counts import lock_profiles

_SQL: Final = queries.load("stats/compaction")
ROLLUPS_AT_ONCE: Final = 10_000
ROWS_AT_ONCE: Final = 5_000  # 80 MB, if each has a sketch at its largest
LONGEST_S: Final = 1200.0  # to find out what there is, which reads all that is live


class ProfileDay(NamedTuple):
    tenant_id: int
    profile_id: int
    day: date


class _DayValue(NamedTuple):
    """One row of a day's tables."""

    link_id: int
    dimension: int
    value: str


_News = dict[_DayValue, dict[int, QuarterHour]]


async def compact(
    database: Database, tell: Callable[[int, int], None], before: date | None = None
) -> int:
    """Compact all days that are over, or those before another one; how many profiles' days. `tell` is told
    how many are done, of how many."""

    async def look(connection: Connection) -> list[ProfileDay]:
        await connection.execute(_SQL["no_time_limit"])
        end = before or await connection.fetchval(_SQL["today"])
        rows = await connection.fetch(_SQL["profile_days"], end, timeout=LONGEST_S)
        return [ProfileDay(*row) for row in rows]

    days = await database.transaction(look)
    for done, one in enumerate(days):
        tell(done, len(days))
        await compact_day(database, one)
    tell(len(days), len(days))
    return len(days)


async def compact_day(database: Database, one: ProfileDay) -> None:
    """Compact what stands of this day in the live tables, in as many transactions as it takes."""
    while await database.transaction(lambda connection: _take_rollups(connection, one)):
        pass
    for links, dimensions in await database.transaction(
        lambda connection: _groups(connection, one)
    ):

        async def work(
            connection: Connection, links: list[int] = links, dimensions: list[int] = dimensions
        ) -> int:
            return await _take_dimensions(connection, one, links, dimensions)

        while await database.transaction(work) == ROWS_AT_ONCE:
            pass


async def _take_rollups(connection: Connection, one: ProfileDay) -> int:
    await lock_profiles(connection, [one.profile_id])
    rows = await connection.fetch(_SQL["take_rollups"], *one, ROLLUPS_AT_ONCE)
    news: _News = {}
    for link_id, at, *counts in rows:
        for of in (link_id, ALL_LINKS):
            _add(news, _DayValue(of, Dimension.TOTAL, ""), at, QuarterHour(*counts))
    await _put(connection, one, news)
    return len(rows)


async def _groups(connection: Connection, one: ProfileDay) -> list[tuple[list[int], list[int]]]:
    """Links and dimensions side by side, each list of about as many rows as one transaction takes."""
    await connection.execute(_SQL["no_time_limit"])
    rows = [tuple(row) for row in await connection.fetch(_SQL["groups"], *one, timeout=LONGEST_S)]
    return [([row[0] for row in part], [row[1] for row in part]) for part in _parts(rows)]


def _parts(rows: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    part: list[Sequence[int]] = []
    size = 0
    for row in rows:
        if part and size + row[2] > ROWS_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(row)
        size += row[2]
    if part:
        yield part


async def _take_dimensions(
    connection: Connection, one: ProfileDay, links: list[int], dimensions: list[int]
) -> int:
    await lock_profiles(connection, [one.profile_id])
    rows = await connection.fetch(_SQL["take_dimensions"], *one, links, dimensions, ROWS_AT_ONCE)
    news: _News = {}
    for link_id, dimension, value, at, *quarter in rows:
        _add(news, _DayValue(link_id, dimension, value), at, QuarterHour(*quarter))
    await _put(connection, one, news)
    return len(rows)


def _add(news: _News, value: _DayValue, at: int, quarter: QuarterHour) -> None:
    day = news.setdefault(value, {})
    before = day.get(at)
    day[at] = quarter if before is None else before.with_(quarter)


async def _put(connection: Connection, one: ProfileDay, news: _News) -> None:
    """Add what is new of a profile's day to what is compacted of it."""
    if not news:
        return
    values = sorted(news)
    columns = list(zip(*values, strict=True))
    had = {
        values[number - 1]: CompactedDay(*row)
        for number, *row in await connection.fetch(_SQL["compacted"], *one, *columns)
    }
    rows, more = [], []
    for number, value in enumerate(values):
        if number % 100 == 99:
            await asyncio.sleep(0)
        before = had.get(value)
        now = compact_quarters(merge_days(expand_day(before) if before else {}, news[value]))
        sums = before.sums if before else (0, 0, 0, 0)
        more.append([new - old for new, old in zip(now.sums, sums, strict=True)])
        rows.append((*one, *value, *now))
    await connection.executemany(_SQL["put_quarters"], rows)
    differences = list(zip(*more, strict=True))
    await connection.execute(_SQL["add_to_days"], *one, *columns, *differences)
    await connection.execute(_SQL["add_to_months"], *one, *columns, *differences)
