"""Sketches of visitors for one question: read once for all of its statements, and merged in a thread if many.

A dashboard's question asks for the visitors of rows and those of the whole period, by the same sketches: those
of today's time buckets, up to 32 KB each.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any, Final

import asyncpg

from engine.stats import merge
from engine.stats.merge import SumKey, Sums
from engine.stats.packed.column_sums import quarter
from engine.stats.plan import CountsStatement
from engine.stats.ports import ProfileKey
from engine.stats.sketch import union_size
from storage.postgres.database import Connection
from storage.stats.packed_sums import PackedSums
from storage.stats.reading import statements

SKETCHES_IN_LOOP: Final = 100  # merged in some milliseconds
_Sketches = dict[tuple[SumKey, date], list[bytes]]


class VisitorSketchReader:
    """The reading of a question's sketches, in its transaction."""

    def __init__(self, connection: Connection, profile: ProfileKey, clicks: PackedSums) -> None:
        self._connection = connection
        self._profile = profile
        self._clicks = clicks
        self._live: dict[Any, list[asyncpg.Record]] = {}
        # By the identities of sketches, which are kept with them, lest others get the same.
        self._sizes: dict[tuple[int, ...], tuple[int, Sequence[bytes]]] = {}

    async def add_visitors(self, statement: CountsStatement, sums: Sums) -> None:
        """Add the visitors of hot days to the sums of a statement, which has `sketches`."""
        assert statement.sketches is not None
        sketches = await self._of(statement)
        merging = partial(
            merge.add_visitors, sums, [(key, parts) for (key, _), parts in sketches.items()],
            add_stored=statement.sketches.add_stored, size_of=self._size_of,
        )  # fmt: skip
        if sum(map(len, sketches.values())) < SKETCHES_IN_LOOP:
            merging()
        else:
            await asyncio.to_thread(merging)

    async def _of(self, statement: CountsStatement) -> _Sketches:
        """Return the sketches of each sum and UTC day. A visitor with several values or links is one in a sum
        that is not by them."""
        rows = list(await self._live_rows(statement))
        if statement.sketches is not None and statement.sketches.ranges:
            text, values = statements.quarter_sketches(self._profile, statement)
            rows += await self._connection.fetch(text, *values)
        sketches: defaultdict[tuple[SumKey, date], list[bytes]] = defaultdict(list)
        starts = [quarter(start) for start in statement.split.starts]
        for link, value, day, quarters, visitors in rows:
            row = bisect_right(starts, min(quarters))
            if row == bisect_right(starts, max(quarters)):
                sketches[_sum_key(statement, link, value, row), day] += visitors
                continue
            for number, sketch in zip(quarters, visitors, strict=True):
                row = bisect_right(starts, number)
                sketches[_sum_key(statement, link, value, row), day].append(sketch)
        for part in await self._clicks.sketches(statement):
            for key, sketch in part.items():
                sum_key = _sum_key(statement, key.link, key.value, key.row)
                sketches[sum_key, key.day].append(sketch)
        return sketches

    async def _live_rows(self, statement: CountsStatement) -> list[asyncpg.Record]:
        text, values = statements.live_sketches(self._profile, statement)
        key = (text, *map(_hashable, values))
        if key not in self._live:
            self._live[key] = await self._connection.fetch(text, *values)
        return self._live[key]

    def _size_of(self, parts: Sequence[bytes]) -> int:
        """Return the visitors of sketches together; the same ones are merged once."""
        key = tuple(map(id, parts))
        if key not in self._sizes:
            self._sizes[key] = union_size(parts), parts
        return self._sizes[key][0]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _sum_key(statement: CountsStatement, link: int, value: str, row: int) -> SumKey:
    return SumKey(link if statement.by_link else None, value if statement.by_value else None, row)
