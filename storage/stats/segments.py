"""Segments in Postgres: rows of packed clicks, a column each (storage/migrations/0006_stats.sql)."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final, NamedTuple

import asyncpg

from engine.stats.packed.day_sums import pack_day_sums
from engine.stats.packed.packed_clicks import VALUE_COLUMNS, PackedClicks, compress, decompress
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from storage.postgres.database import Connection

_COLUMNS: Final = (
    "tenant_id", "profile_id", "day", "part", "days", "in_tables", "clicks", "quarters", "links",
    *VALUE_COLUMNS, "visitors", "pseudonyms", "sums",
)  # fmt: skip
SUMMED_FROM: Final = (
    256  # clicks of a day: those of fewer are added up as fast as their sums are read
)


class ClickSegment(NamedTuple):
    """Packed clicks of `days` UTC days from `day` on. `in_tables`: they are counted there as well."""

    tenant_id: int
    profile_id: int
    day: date
    part: int
    days: int
    in_tables: bool
    clicks: PackedClicks


async def add_segments(connection: Connection, segments: Iterable[ClickSegment]) -> None:
    """Add segments in the caller's transaction. Raises UniqueViolationError for a part that is there."""
    rows = [_row(segment) for segment in segments]
    if rows:
        await connection.copy_records_to_table("click_segments", records=rows, columns=_COLUMNS)


def piece_of(row: asyncpg.Record) -> Piece:
    """Return the piece of a whole row of click_segments."""
    packed = PackedClicks(
        row["clicks"],
        decompress(row["quarters"]),
        decompress(row["links"]),
        {name: decompress(row[name]) for name in VALUE_COLUMNS},
        decompress(row["visitors"]),
        None if row["pseudonyms"] is None else decompress(row["pseudonyms"]),
    )
    return Piece(row["day"], packed)


def _row(segment: ClickSegment) -> tuple[Any, ...]:
    packed = segment.clicks
    assert packed.links is not None
    assert packed.visitors is not None
    return (
        *segment[:6],
        packed.clicks,
        compress(packed.quarters),
        compress(packed.links),
        *(compress(packed.texts[name]) for name in VALUE_COLUMNS),
        compress(packed.visitors),
        None if packed.pseudonyms is None else compress(packed.pseudonyms),
        _sums(segment),
    )


def _sums(segment: ClickSegment) -> bytes | None:
    """Return the day sums of a segment that is counted nowhere else."""
    if segment.in_tables or segment.days > 1 or segment.clicks.clicks < SUMMED_FROM:
        return None
    return pack_day_sums(ProfileClicks([Piece(segment.day, segment.clicks)]), segment.day)
