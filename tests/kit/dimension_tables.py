"""Clicks as sums in the tables, written by plain loops: of each UTC day either quarters of an hour, or what the
daily aggregation makes of them."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
from datasketches import hll_sketch, tgt_hll_type

from engine.clicks.click import BOT_CLASSES, CLASS_MASK, COUNTED_CLASSES, Click, ClickKind
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.stats.sketch import LG_K, union_size
from storage.stats.memory_stats import values

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER_US = 900_000_000


class Key(NamedTuple):
    tenant_id: int
    profile_id: int
    link_id: int
    dimension: int
    day: date
    value: str


class Quarter:
    """The counts and the visitor sketch of one value in one time bucket."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0]
        self.visitors = hll_sketch(LG_K, tgt_hll_type.HLL_4)

    def add(self, click: Click) -> None:
        visitor_class = click.classification & CLASS_MASK
        column = 2 if visitor_class in BOT_CLASSES else int(click.kind != ClickKind.CLICK)
        self.counts[column] += 1
        if visitor_class in COUNTED_CLASSES and click.visitor_id:
            self.visitors.update(int.from_bytes(click.visitor_id, "big", signed=True))

    @property
    def sketch(self) -> bytes:
        return bytes(self.visitors.serialize_compact())


def summed(
    clicks: Iterable[Click], dimensions: Collection[Dimension]
) -> dict[Key, dict[int, Quarter]]:
    """Return the counts by key and quarter of the day, from 0 to 95."""
    quarters: dict[Key, dict[int, Quarter]] = defaultdict(lambda: defaultdict(Quarter))
    for click in clicks:
        if click.classification & CLASS_MASK not in BOT_CLASSES | COUNTED_CLASSES:
            continue
        day = (EPOCH + timedelta(microseconds=click.at_us)).date()
        quarter = click.at_us % (96 * QUARTER_US) // QUARTER_US
        place = click.tenant_id, click.profile_id
        for dimension in dimensions:
            click_values = ("",) if dimension is Dimension.TOTAL else values(click, dimension)
            for value in click_values:
                for link in (ALL_LINKS, click.link_id):
                    if link == ALL_LINKS or dimension is not Dimension.LINK:
                        key = Key(*place, link, int(dimension), day, value)
                        quarters[key][quarter].add(click)
    return quarters


async def write(
    connection: "asyncpg.Connection[Any]",
    clicks: Collection[Click],
    compacted: Collection[date],
    dimensions: Collection[Dimension],
) -> None:
    """Fill the tables, as their owner. `compacted` are the days in the tables of compaction."""
    live, plain, quarters = [], [], []
    days, months = [], defaultdict[Key, list[int]](lambda: [0, 0, 0, 0])
    for key, value_quarters in sorted(summed(clicks, dimensions).items()):
        if key.day in compacted:
            row = _compacted(value_quarters)
            quarters.append((*key, *row))
            totals = [row[1][-1], row[2][-1], row[3][-1], row[5][-1]]
            days.append((*key, *totals))
            month = months[key._replace(day=key.day.replace(day=1))]
            month[:] = [a + b for a, b in zip(month, totals, strict=True)]
            continue
        for quarter, counted in sorted(value_quarters.items()):
            bucket = datetime.combine(key.day, datetime.min.time(), UTC)
            bucket += timedelta(minutes=15 * quarter)
            counts, sketch = counted.counts, counted.sketch
            if key.dimension == Dimension.TOTAL:
                plain.append((*key[:3], bucket, *counts))
                counts = [0, 0, 0]
            live.append((*key[:4], bucket, key.value, *counts, sketch))
    await _copy(connection, "dimension_counts", live)
    await _copy(connection, "rollups", plain)
    await _copy(connection, "dimension_quarters", quarters)
    await _copy(connection, "dimension_days", days)
    await _copy(connection, "dimension_months", [(*k, *v) for k, v in sorted(months.items())])


def _compacted(quarters: dict[int, Quarter]) -> tuple[list[Any], ...]:
    """Return the arrays of a row of dimension_quarters."""
    at = sorted(quarters)
    sketches = [quarters[quarter].sketch for quarter in at]
    counts = zip(*(quarters[quarter].counts for quarter in at), strict=True)
    return (
        at,
        *(list(itertools.accumulate(column)) for column in counts),
        [union_size([sketch]) for sketch in sketches],
        [union_size(sketches[: n + 1]) for n in range(len(at))],
        [union_size(sketches[n:]) for n in range(len(at))],
        sketches,
    )


async def _copy(connection: Any, table: str, rows: list[Any]) -> None:
    columns = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum",
        f"waypost.{table}",
    )
    names = [row[0] for row in columns]
    await connection.copy_records_to_table(
        table, schema_name="waypost", records=rows, columns=names[: len(rows[0])] if rows else names
    )
