"""Dimension counts of hot days in Postgres: read, merged and written in the transaction that settles a day.

Guarantees:
- No sketch loses the visitors that another writer adds: all writers, compaction and rebuilding included, call
  lock_profiles() first. So no two of them deadlock over these rows.
- A time bucket has at most max_values() values of a dimension, and OTHER.

A statement writes ROWS_AT_ONCE rows, and the event loop runs other tasks between two statements.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from engine.clicks.dimension import MAX_VALUES, OTHER
from engine.stats import sketch
from engine.stats.dimension_counts import max_values
from engine.stats.vectorised_counts import CountBlock
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("stats/dimension_counts")
ROWS_AT_ONCE: Final = 5_000
LOCK_SLOTS: Final = 251
_SECOND_US: Final = 1_000_000


# The key of a time bucket's values: tenant, profile, link, dimension, and Unix second of the bucket.
_Prefix = tuple[int, int, int, int, int]


class _CountRows:
    """Rows as columns: five of the key's prefix, values, three of counts, and sketches.

    Numbers are sent to Postgres as text of arrays: the driver takes eight times as long to encode lists.
    """

    def __init__(self, columns: "list[list[Any]] | None" = None) -> None:
        self.columns: list[list[Any]] = columns or [[] for _ in range(10)]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def values(self) -> list[str]:
        return self.columns[5]

    @property
    def counts(self) -> list[list[int]]:
        return self.columns[6:9]

    @property
    def sketches(self) -> list[bytes | None]:
        return self.columns[9]

    def prefix(self, number: int) -> _Prefix:
        tenant, profile, link, dimension, second = (column[number] for column in self.columns[:5])
        return tenant, profile, link, dimension, second

    def extend(self, block: CountBlock) -> None:
        *_, sizes, visitors = block
        seconds = [bucket_us // _SECOND_US for bucket_us in block.buckets_us]
        sketches = sketch.sketches(visitors, sizes)
        block_columns: list[Iterable[Any]] = [*block[:4], seconds, *block[5:9], sketches]
        for column, added in zip(self.columns, block_columns, strict=True):
            column.extend(added)

    def pop_first(self, count: int) -> "_CountRows":
        """Remove and return the first `count` rows."""
        first = [column[:count] for column in self.columns]
        for column in self.columns:
            del column[:count]
        return _CountRows(first)

    def only(self, numbers: Sequence[int]) -> "_CountRows":
        return _CountRows([[column[n] for n in numbers] for column in self.columns])

    def keys(self) -> list[Any]:
        return [*map(_numbers, self.columns[:5]), self.values]


def _numbers(column: Iterable[int]) -> str:
    return "{" + ",".join(map(str, column)) + "}"


async def lock_profiles(connection: Connection, profile_ids: Iterable[int]) -> None:
    """Lock the dimension counts of these profiles against other writers until the transaction ends."""
    slots = sorted({profile_id % LOCK_SLOTS for profile_id in profile_ids})
    await connection.execute(_SQL["lock_profiles"], slots)


async def add_blocks(connection: Connection, blocks: Iterable[CountBlock]) -> None:
    """Add the rows to the tables. Call only after lock_profiles(), in the same transaction."""
    waiting = _CountRows()
    for block in blocks:
        waiting.extend(block)
        while len(waiting) >= ROWS_AT_ONCE:
            await _add(connection, waiting.pop_first(ROWS_AT_ONCE))
        await asyncio.sleep(0)
    if len(waiting):
        await _add(connection, waiting)


async def _add(connection: Connection, rows: _CountRows) -> None:
    keys = rows.keys()
    existing_rows = await connection.fetch(_SQL["existing"], *keys)
    existing = {number - 1: stored for number, stored in existing_rows}
    over_cap = await _rows_over_cap(connection, rows, existing.keys())
    if over_cap:
        await _add(connection, _merge_into_other(rows, over_cap))
        within_cap = [number for number in range(len(rows)) if number not in over_cap]
        if not within_cap:
            return
        existing = {new: existing[old] for new, old in enumerate(within_cap) if old in existing}
        rows = rows.only(within_cap)
        keys = rows.keys()
    sketches = rows.sketches
    for number, stored in existing.items():
        new = sketches[number]
        if new is not None and stored is not None:
            sketches[number] = sketch.union_if_larger(stored, new)
    await connection.execute(_SQL["add"], *keys, *map(_numbers, rows.counts), sketches)


async def _rows_over_cap(
    connection: Connection, rows: _CountRows, existing: Collection[int]
) -> set[int]:
    """Return the indexes of rows beyond the cap of their time bucket, and of rows whose value is OTHER already:
    a visitor can send that text, and each row may be written only once."""
    new: dict[_Prefix, list[int]] = {}
    other_numbers: dict[_Prefix, int] = {}
    for number, value in enumerate(rows.values):
        if value == OTHER:
            other_numbers[rows.prefix(number)] = number
        elif number not in existing and value:
            new.setdefault(rows.prefix(number), []).append(number)
    caps = {prefix: max_values(prefix[3], prefix[2]) for prefix in new}
    capped = [prefix for prefix in new if caps[prefix] is not None]
    if not capped:
        return set()
    columns = map(_numbers, zip(*capped, strict=True))
    count_rows = await connection.fetch(_SQL["values"], *columns, MAX_VALUES)
    over_cap: set[int] = set()
    for prefix, (count,) in zip(capped, count_rows, strict=True):
        added = new[prefix][max(0, (caps[prefix] or 0) - count) :]
        if added and prefix in other_numbers:
            added.append(other_numbers[prefix])
        over_cap.update(added)
    return over_cap


def _merge_into_other(rows: _CountRows, over_cap: Collection[int]) -> _CountRows:
    """Return one row of value OTHER for each time bucket and dimension of these rows."""
    numbers_by_prefix: dict[_Prefix, list[int]] = {}
    for number in sorted(over_cap):
        numbers_by_prefix.setdefault(rows.prefix(number), []).append(number)
    other_rows: list[tuple[Any, ...]] = []
    for prefix, numbers in numbers_by_prefix.items():
        counts = [sum(column[n] for n in numbers) for column in rows.counts]
        sketches = [sketch_bytes for n in numbers if (sketch_bytes := rows.sketches[n]) is not None]
        other_rows.append((*prefix, OTHER, *counts, sketch.union(sketches) if sketches else None))
    return _CountRows([list(column) for column in zip(*other_rows, strict=True)])
