"""Pieces of a profile's packed clicks in Postgres: its deltas and segments, read in one database snapshot."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import asyncpg

from engine.stats.packed.packed_clicks import VALUE_COLUMNS, PackedClicks, decode, decompress
from engine.stats.packed.profile_clicks import Piece
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("stats/pieces")
COLUMNS: Final = ("links", *VALUE_COLUMNS, "visitors", "pseudonyms")


class Pieces(NamedTuple):
    """Pieces of packed clicks, by where they are counted: `packed` nowhere else, `pending` nowhere else yet, as
    their day is hot, and `in_tables` in the tables of hot days as well."""

    packed: list[Piece]
    pending: list[Piece]
    in_tables: list[Piece]


async def read_pieces(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    first: date,
    last: date,
    columns: Collection[str],
    *,
    in_tables: bool = False,
) -> Pieces:
    """Read the pieces of the UTC days `first` to `last`, with these of COLUMNS; with `in_tables` those too."""
    days = (tenant_id, profile_id, first, last)
    pieces = Pieces([], [], [])
    for day, data, hot in await connection.fetch(_SQL["deltas"], *days):
        (pieces.pending if hot else pieces.packed).append(Piece(day, decode(data)))
    names = tuple(name for name in COLUMNS if name in columns)
    for row in await connection.fetch(_segments(names), *days, in_tables):
        of = pieces.in_tables if row["in_tables"] else pieces.packed
        of.append(Piece(row["day"], _segment(row, names)))
    return pieces


async def count_clicks(
    connection: Connection, tenant_id: int, profile_id: int, first: date, last: date
) -> int:
    """Return the number of packed clicks of the UTC days, and of the rest of segments that touch them."""
    return int(await connection.fetchval(_SQL["clicks"], tenant_id, profile_id, first, last))


def utc_days(start: datetime, end: datetime) -> tuple[date, date]:
    """Return the first and the last UTC day of [start, end)."""
    return start.astimezone(UTC).date(), (end.astimezone(UTC) - timedelta(microseconds=1)).date()


@lru_cache(64)
def _segments(names: tuple[str, ...]) -> str:
    return _SQL["segments"].format(columns=", ".join(names) or "NULL")


def _segment(row: asyncpg.Record, names: Iterable[str]) -> PackedClicks:
    columns = {name: decompress(row[name]) for name in names if row[name] is not None}
    return PackedClicks(
        row["clicks"],
        decompress(row["quarters"]),
        columns.get("links"),
        {name: columns[name] for name in VALUE_COLUMNS if name in columns},
        columns.get("visitors"),
        columns.get("pseudonyms"),
    )
