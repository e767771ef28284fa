"""Counts by dimension in Postgres: added to, read-merge-write, in the transaction that moves `summarised`.

Guarantees:
- Clicks are counted exactly once, as in storage/ledger.py: the move is a compare-and-set on (summarised, token)
  in the same transaction. It is the last statement, so that a journal's row is locked for a moment only and
  the commits of its next clicks do not wait for this one.
- No sketch loses what another writer adds: who writes to a profile's rows takes its turn (`take_turns`), and
  so do compaction and rebuilding. With that, no two can deadlock over these rows.
- A bucket of a dimension has at most `summary.cap` values and OTHER.

A transaction writes ROWS_AT_ONCE rows with one statement, and lets the loop go on between two.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine import sketch
from engine.dimension import OTHER
from engine.errors import StaleLeaseError
from engine.ports_summaries import Gathered, Move
from engine.summary import CAP, cap
from engine.tally import Block
from storage import sql
from storage.postgres import Connection

_SQL: Final = sql.load("summaries")
ROWS_AT_ONCE: Final = 5_000
SLOTS: Final = 251
_SECOND_US: Final = 1_000_000


class _Prefix(NamedTuple):
    """A bucket of a dimension."""

    tenant_id: int
    profile_id: int
    link_id: int
    dimension: int
    bucket_s: int


@dataclass
class _Rows:
    """Rows as the statements take them."""

    keys: list[tuple[_Prefix, str]] = field(default_factory=list)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    sketches: list[bytes | None] = field(default_factory=list)

    def extend(self, block: Block) -> None:
        seconds = [bucket_us // _SECOND_US for bucket_us in block.buckets_us]
        prefixes = map(
            _Prefix, block.tenant_ids, block.profile_ids, block.link_ids, block.dimensions, seconds
        )
        self.keys += zip(prefixes, block.values, strict=True)
        self.counts += zip(block.clicks, block.views, block.bots, strict=True)
        self.sketches += sketch.sketches(block.visitors, block.sizes)

    def take(self, count: int) -> "_Rows":
        """The first ones, which are gone from here."""
        taken = _Rows(self.keys[:count], self.counts[:count], self.sketches[:count])
        del self.keys[:count], self.counts[:count], self.sketches[:count]
        return taken

    def only(self, numbers: Collection[int]) -> "_Rows":
        return _Rows(
            [self.keys[n] for n in numbers],
            [self.counts[n] for n in numbers],
            [self.sketches[n] for n in numbers],
        )


async def take_turns(connection: Connection, profile_ids: Iterable[int]) -> None:
    """Keep other writers of these profiles' counts by dimension out until the transaction ends."""
    slots = sorted({profile_id % SLOTS for profile_id in profile_ids})
    await connection.execute(_SQL["take_turns"], slots)


async def add(connection: Connection, gathered: Gathered) -> None:
    await take_turns(connection, {profile_id for _, profile_id in gathered.profiles()})
    await add_blocks(connection, gathered.blocks())


async def add_blocks(connection: Connection, blocks: Iterable[Block]) -> None:
    """Whose turn it is."""
    waiting = _Rows()
    for block in blocks:
        waiting.extend(block)
        while len(waiting.keys) >= ROWS_AT_ONCE:
            await _add(connection, waiting.take(ROWS_AT_ONCE))
        await asyncio.sleep(0)
    if waiting.keys:
        await _add(connection, waiting)


async def move(connection: Connection, moves: Sequence[Move]) -> None:
    """Raises StaleLeaseError with the journals that are not where they were, or another's."""
    rows = await connection.fetch(_SQL["move_summarised"], *zip(*moves, strict=True))
    stale = {one.journal_id for one in moves} - {row["journal_id"] for row in rows}
    if stale:
        names = ", ".join(sorted(journal_id.hex for journal_id in stale))
        raise StaleLeaseError(f"journals {names} are not where they were summarised to", stale)


async def _add(connection: Connection, rows: _Rows) -> None:
    prefixes, values = zip(*rows.keys, strict=True)
    columns = list(zip(*prefixes, strict=True))
    existing = {
        number - 1: stored
        for number, stored in await connection.fetch(_SQL["existing"], *columns, values)
    }
    beyond = await _beyond(connection, rows, existing.keys())
    if beyond:
        await _add(connection, _others(rows, beyond))
        kept = [n for n in range(len(rows.keys)) if n not in beyond]
        if not kept:
            return
        existing = {new: existing[old] for new, old in enumerate(kept) if old in existing}
        rows = rows.only(kept)
        prefixes, values = zip(*rows.keys, strict=True)
        columns = list(zip(*prefixes, strict=True))
    for number, stored in existing.items():
        new = rows.sketches[number]
        if new is not None and stored is not None:
            rows.sketches[number] = sketch.union((stored, new))
    counts = zip(*rows.counts, strict=True)
    await connection.execute(_SQL["add"], *columns, values, *counts, rows.sketches)


async def _beyond(connection: Connection, rows: _Rows, existing: Collection[int]) -> set[int]:
    """Numbers of the rows that no place is left for."""
    new: dict[_Prefix, list[int]] = {}
    for number, (prefix, value) in enumerate(rows.keys):
        if number not in existing and value not in ("", OTHER):
            new.setdefault(prefix, []).append(number)
    caps = {prefix: cap(prefix.dimension, prefix.link_id) for prefix in new}
    asked = [prefix for prefix in new if caps[prefix] is not None]
    if not asked:
        return set()
    found = await connection.fetch(_SQL["values"], *zip(*asked, strict=True), CAP)
    beyond: set[int] = set()
    for prefix, (count,) in zip(asked, found, strict=True):
        beyond.update(new[prefix][max(0, (caps[prefix] or 0) - count) :])
    return beyond


def _others(rows: _Rows, beyond: Collection[int]) -> _Rows:
    """Of each bucket and dimension, those rows as one."""
    together: dict[_Prefix, list[int]] = {}
    for number in sorted(beyond):
        together.setdefault(rows.keys[number][0], []).append(number)
    others = _Rows()
    for prefix, numbers in together.items():
        clicks, views, bots = map(sum, zip(*(rows.counts[n] for n in numbers), strict=True))
        sketches = [one for n in numbers if (one := rows.sketches[n]) is not None]
        others.keys.append((prefix, OTHER))
        others.counts.append((clicks, views, bots))
        others.sketches.append(sketch.union(sketches) if sketches else None)
    return others
