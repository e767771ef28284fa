"""Compaction: finished UTC days move from the live tables to the tables of days, months and cumulated quarters.

Guarantees:
- the sum over live and compacted tables is right at every moment: a transaction deletes live rows and adds
  their counts to the compacted tables;
- a run may stop anywhere, and compaction may run any number of times. Clicks that arrive late are counted
  in the live tables again, and the next run adds them to their day;
- a transaction is bounded: ROLLUPS_AT_ONCE rollups, or about ROWS_AT_ONCE rows of dimension counts.

Folds go on meanwhile, as they touch none of these tables. The row of the day in `profile_days` keeps two
jobs from one day.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple

from engine.clicks.dimension import Dimension
from engine.stats.compaction import (
    CompactedDay,
    QuarterHour,
    compact_quarters,
    expand_day,
    merge_days,
)
from engine.stats.profile_day import ProfileDay
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.dimension_counts import lock_profiles

_SQL: Final = queries.load("stats/compaction")
ROLLUPS_AT_ONCE: Final = 10_000
ROWS_AT_ONCE: Final = 5_000  # 80 MB, if each has a sketch of the largest size
STATEMENT_TIMEOUT_S: Final = 1200.0  # finding the days reads all live rows


class _DayValue(NamedTuple):
    """The key of a row in a day's tables, within a profile's day."""

    link_id: int
    dimension: int
    value: str


_Additions = dict[_DayValue, dict[int, QuarterHour]]


async def compact(
    database: Database, report: Callable[[int, int], None], before: date | None = None
) -> int:
    """Compact every day before `before` (default: today, UTC). Returns how many days of profiles were
    compacted.

    `report(done, of)` is called before each of them and at the end.
    """

    async def find_days(connection: Connection) -> list[ProfileDay]:
        await connection.execute(_SQL["no_time_limit"])
        end = before or await connection.fetchval(_SQL["today"])
        rows = await connection.fetch(_SQL["profile_days"], end, timeout=STATEMENT_TIMEOUT_S)
        return [ProfileDay(*row) for row in rows]

    days = await database.transaction(find_days)
    for done, profile_day in enumerate(days):
        report(done, len(days))
        await compact_day(database, profile_day)
    report(len(days), len(days))
    return len(days)


async def compact_day(database: Database, profile_day: ProfileDay) -> None:
    """Compact the live rows of a profile's day, in as many transactions as that takes."""
    while await database.transaction(lambda connection: _compact_rollups(connection, profile_day)):
        pass
    for links, dimensions in await database.transaction(
        lambda connection: _link_groups(connection, profile_day)
    ):

        async def work(
            connection: Connection, links: list[int] = links, dimensions: list[int] = dimensions
        ) -> int:
            return await _compact_dimensions(connection, profile_day, links, dimensions)

        while await database.transaction(work) == ROWS_AT_ONCE:
            pass


async def _compact_rollups(connection: Connection, profile_day: ProfileDay) -> int:
    await lock_profiles(connection, [profile_day.profile_id])
    rows = await connection.fetch(_SQL["take_rollups"], *profile_day, ROLLUPS_AT_ONCE)
    additions: _Additions = {}
    for link_id, at, *counts in rows:
        _add(additions, _DayValue(link_id, Dimension.TOTAL, ""), at, QuarterHour(*counts))
    await _store(connection, profile_day, additions)
    return len(rows)


async def _link_groups(
    connection: Connection, profile_day: ProfileDay
) -> list[tuple[list[int], list[int]]]:
    """Return groups of (link ids, dimensions), pairwise, each of about ROWS_AT_ONCE live rows."""
    await connection.execute(_SQL["no_time_limit"])
    rows = [
        tuple(row)
        for row in await connection.fetch(_SQL["groups"], *profile_day, timeout=STATEMENT_TIMEOUT_S)
    ]
    return [([row[0] for row in group], [row[1] for row in group]) for group in _batches(rows)]


def _batches(rows: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    group: list[Sequence[int]] = []
    size = 0
    for row in rows:
        if group and size + row[2] > ROWS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(row)
        size += row[2]
    if group:
        yield group


async def _compact_dimensions(
    connection: Connection, profile_day: ProfileDay, links: list[int], dimensions: list[int]
) -> int:
    await lock_profiles(connection, [profile_day.profile_id])
    rows = await connection.fetch(
        _SQL["take_dimensions"], *profile_day, links, dimensions, ROWS_AT_ONCE
    )
    additions: _Additions = {}
    for link_id, dimension, value, at, *quarter in rows:
        _add(additions, _DayValue(link_id, dimension, value), at, QuarterHour(*quarter))
    await _store(connection, profile_day, additions)
    return len(rows)


def _add(additions: _Additions, value: _DayValue, at: int, quarter: QuarterHour) -> None:
    day = additions.setdefault(value, {})
    before = day.get(at)
    day[at] = quarter if before is None else before.merged_with(quarter)


async def _store(connection: Connection, profile_day: ProfileDay, additions: _Additions) -> None:
    """Add quarters to the compacted rows of a profile's day."""
    if not additions:
        return
    values = sorted(additions)
    columns = list(zip(*values, strict=True))
    stored = {
        values[number - 1]: CompactedDay(*row)
        for number, *row in await connection.fetch(_SQL["compacted"], *profile_day, *columns)
    }
    rows, increments = [], []
    for number, value in enumerate(values):
        if number % 100 == 99:
            await asyncio.sleep(0)
        before = stored.get(value)
        compacted = compact_quarters(
            merge_days(expand_day(before) if before else {}, additions[value])
        )
        sums = before.sums if before else (0, 0, 0, 0)
        increments.append([new - old for new, old in zip(compacted.sums, sums, strict=True)])
        rows.append((*profile_day, *value, *compacted))
    await connection.executemany(_SQL["store_quarters"], rows)
    differences = list(zip(*increments, strict=True))
    await connection.execute(_SQL["add_to_days"], *profile_day, *columns, *differences)
    await connection.execute(_SQL["add_to_months"], *profile_day, *columns, *differences)
