"""Dimension counts in Postgres: read, merged and written in the transaction that moves `dimension_counted`.

Guarantees:
- Clicks are counted exactly once, as in storage/clicks/ledger.py: the watermark moves by compare-and-set on
  (dimension_counted, fencing token) in the same transaction. It is the last statement, so that a journal's row
  is locked for a moment only and the next folds of its clicks do not wait for this one.
- No sketch loses what another writer adds: who writes to a profile's rows takes its turn (`lock_profiles`), and
  so do compaction and rebuilding. With that, no two can deadlock over these rows.
- A bucket of a dimension has at most `summary.cap` values and OTHER.

A transaction writes ROWS_AT_ONCE rows with one statement, and lets the loop go on between two.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from engine.clicks.dimension import MAX_VALUES, OTHER
from engine.common.errors import StaleLeaseError
from engine.stats import sketch
from engine.stats.dimension_counts import max_values
from engine.stats.ledger_ports import BufferedClicks, WatermarkAdvance
from engine.stats.vectorised_counts import CountBlock
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("stats/dimension_counts")
ROWS_AT_ONCE: Final = 5_000
SLOTS: Final = 251
_SECOND_US: Final = 1_000_000


# A bucket of a dimension: tenant, profile, link, dimension, second.
_Prefix = tuple[int, int, int, int, int]


class _CountRows:
    """Rows as columns: five of numbers that are the prefix of a key, values, three of counts, and sketches.

    Numbers go to Postgres as texts of arrays: the driver takes eight times as long to encode a list.
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
        news: list[Iterable[Any]] = [*block[:4], seconds, *block[5:9], sketches]
        for column, more in zip(self.columns, news, strict=True):
            column.extend(more)

    def take(self, count: int) -> "_CountRows":
        """The first ones, which are gone from here."""
        taken = [column[:count] for column in self.columns]
        for column in self.columns:
            del column[:count]
        return _CountRows(taken)

    def only(self, numbers: Sequence[int]) -> "_CountRows":
        return _CountRows([[column[n] for n in numbers] for column in self.columns])

    def keys(self) -> list[Any]:
        return [*map(_numbers, self.columns[:5]), self.values]


def _numbers(column: Iterable[int]) -> str:
    return "{" + ",".join(map(str, column)) + "}"


async def lock_profiles(connection: Connection, profile_ids: Iterable[int]) -> None:
    """Keep other writers of these profiles' counts by dimension out until the transaction ends."""
    slots = sorted({profile_id % SLOTS for profile_id in profile_ids})
    await connection.execute(_SQL["lock_profiles"], slots)


async def add(connection: Connection, buffer: BufferedClicks) -> None:
    await lock_profiles(connection, {profile_id for _, profile_id in buffer.profiles()})
    await add_blocks(connection, buffer.blocks())


async def add_blocks(connection: Connection, blocks: Iterable[CountBlock]) -> None:
    """Add the rows to the tables. Call only after lock_profiles(), in the same transaction."""
    waiting = _CountRows()
    for block in blocks:
        waiting.extend(block)
        while len(waiting) >= ROWS_AT_ONCE:
            await _add(connection, waiting.take(ROWS_AT_ONCE))
        await asyncio.sleep(0)
    if len(waiting):
        await _add(connection, waiting)


async def advance_watermarks(connection: Connection, advances: Sequence[WatermarkAdvance]) -> None:
    """Move `dimension_counted` of the journals. Raises StaleLeaseError with those that have another watermark
    or fencing token."""
    rows = await connection.fetch(_SQL["advance_watermarks"], *zip(*advances, strict=True))
    stale = {advance.journal_id for advance in advances} - {row["journal_id"] for row in rows}
    if stale:
        names = ", ".join(sorted(journal_id.hex for journal_id in stale))
        raise StaleLeaseError(
            f"journals {names} have other dimension counts or another owner", stale
        )


async def _add(connection: Connection, rows: _CountRows) -> None:
    keys = rows.keys()
    found = await connection.fetch(_SQL["existing"], *keys)
    existing = {number - 1: stored for number, stored in found}
    beyond = await _rows_over_cap(connection, rows, existing.keys())
    if beyond:
        await _add(connection, _merge_into_other(rows, beyond))
        kept = [number for number in range(len(rows)) if number not in beyond]
        if not kept:
            return
        existing = {new: existing[old] for new, old in enumerate(kept) if old in existing}
        rows = rows.only(kept)
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
    """Numbers of the rows that no place is left for, with those that are of OTHER already: a visitor may have
    sent that word, and a bucket's row is written once."""
    new: dict[_Prefix, list[int]] = {}
    named: dict[_Prefix, int] = {}
    for number, value in enumerate(rows.values):
        if value == OTHER:
            named[rows.prefix(number)] = number
        elif number not in existing and value:
            new.setdefault(rows.prefix(number), []).append(number)
    caps = {prefix: max_values(prefix[3], prefix[2]) for prefix in new}
    asked = [prefix for prefix in new if caps[prefix] is not None]
    if not asked:
        return set()
    columns = map(_numbers, zip(*asked, strict=True))
    found = await connection.fetch(_SQL["values"], *columns, MAX_VALUES)
    beyond: set[int] = set()
    for prefix, (count,) in zip(asked, found, strict=True):
        more = new[prefix][max(0, (caps[prefix] or 0) - count) :]
        if more and prefix in named:
            more.append(named[prefix])
        beyond.update(more)
    return beyond


def _merge_into_other(rows: _CountRows, beyond: Collection[int]) -> _CountRows:
    """Of each bucket and dimension, those rows as one."""
    together: dict[_Prefix, list[int]] = {}
    for number in sorted(beyond):
        together.setdefault(rows.prefix(number), []).append(number)
    others: list[tuple[Any, ...]] = []
    for prefix, numbers in together.items():
        counts = [sum(column[n] for n in numbers) for column in rows.counts]
        sketches = [one for n in numbers if (one := rows.sketches[n]) is not None]
        others.append((*prefix, OTHER, *counts, sketch.union(sketches) if sketches else None))
    return _CountRows([list(column) for column in zip(*others, strict=True)])
