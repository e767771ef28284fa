"""Pieces of a profile's packed clicks in Postgres: its deltas and segments, read in one database snapshot."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import asyncpg

from engine.common.errors import FieldError, InvalidError, UnavailableError
from engine.stats.packed.day_sums import DaySums
from engine.stats.packed.packed_clicks import VALUE_COLUMNS, PackedClicks, decode, decompress
from engine.stats.packed.profile_clicks import Piece
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.damaged_deltas import DAMAGE

_SQL: Final = queries.load("stats/pieces")
COLUMNS: Final = ("links", *VALUE_COLUMNS, "visitors", "pseudonyms")
PieceRows = list[asyncpg.Record]


class DaysBySums(NamedTuple):
    """Days of which day sums are read, and which parts of those."""

    days: Collection[date]
    parts: Sequence[int]


class StoredPieces(NamedTuple):
    """Pieces as Postgres has them, by where their clicks are counted, and facts of the same snapshot.

    `packed` are counted nowhere else, `pending` nowhere else yet, as their day is hot, and `in_tables` in the
    tables of hot days as well. `summed` are packed too, and have their day sums instead of columns. `clicks`:
    of all but those. `has_tables`: some of the days are hot. `as_of`: when the last fold was committed, or
    None. Reading Piece()s out of rows takes some 10 µs each, which is work for a thread if they
    are many.
    """

    packed: PieceRows
    summed: PieceRows
    pending: PieceRows
    in_tables: PieceRows
    clicks: int
    has_tables: bool
    as_of: datetime | None


async def read_pieces(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    first: date,
    last: date,
    columns: Collection[str],
    *,
    max_clicks: int,
    in_tables: bool = False,
    by_sums: DaysBySums | None = None,
) -> StoredPieces:
    """Read the pieces of the UTC days `first` to `last`, with these of COLUMNS; with `in_tables` those too.

    Of days `by_sums`, which are not read with `in_tables`, the sums will do. If the pieces of which columns are
    read have more than `max_clicks` clicks in all, there are no rows.
    """
    names = tuple(name for name in COLUMNS if name in columns)
    summed = by_sums or DaysBySums((), ())
    rows = await connection.fetch(
        _pieces(names), tenant_id, profile_id, first, last, in_tables, max_clicks, *summed
    )
    facts = rows[0]
    clicks: int = facts["all_clicks"]
    stored = StoredPieces([], [], [], [], clicks, facts["has_tables"], facts["as_of"])
    for row in rows:
        if row["day"] is None:
            continue
        if row["summed"]:
            stored.summed.append(row)
        elif row["in_tables"]:
            stored.in_tables.append(row)
        else:
            (stored.pending if row["hot"] else stored.packed).append(row)
    return stored


def require_few(clicks: int, limit: int, counted: str) -> None:
    """Raise InvalidError if the pieces of a question have more clicks than `limit`. `counted` says what is."""
    if clicks > limit:
        reason = (
            f"must be later: {counted} in at most {limit} clicks, and the period has about {clicks}; "
            "ask for a shorter one"
        )
        raise InvalidError([FieldError("from", reason)])


def pieces_of(rows: Iterable[asyncpg.Record]) -> Iterator[Piece]:
    """Yield the pieces of rows of read_pieces(). Raises UnavailableError if one cannot be unpacked."""
    for row in rows:
        data = row["data"]
        try:
            piece = Piece(row["day"], _segment(row) if data is None else decode(data))
        except DAMAGE as error:
            raise UnavailableError(f"packed clicks of {row['day']} are damaged: {error}") from error
        yield piece


def day_sums_of(rows: Iterable[asyncpg.Record], parts: Sequence[int]) -> list[tuple[date, DaySums]]:
    """Return the day sums of rows of read_pieces() with the same `parts`."""
    return [(row["day"], DaySums(dict(zip(parts, row["sums"], strict=True)))) for row in rows]


def clicks_of(rows: Iterable[asyncpg.Record]) -> int:
    return sum(row["clicks"] for row in rows)


def utc_days(start: datetime, end: datetime) -> tuple[date, date]:
    """Return the first and the last UTC day of [start, end)."""
    return start.astimezone(UTC).date(), (end.astimezone(UTC) - timedelta(microseconds=1)).date()


@lru_cache(64)
def _pieces(names: tuple[str, ...]) -> str:
    nothing = ", ".join(f"NULL::bytea AS {name}" for name in names) or "NULL"
    chosen = ", ".join(f"CASE WHEN NOT summed THEN {name} END AS {name}" for name in names)
    return _SQL["pieces"].format(
        columns=", ".join(names) or "NULL", nothing=nothing, chosen=chosen or "NULL"
    )


def _segment(row: asyncpg.Record) -> PackedClicks:
    columns = {name: decompress(data) for name in COLUMNS if (data := row.get(name)) is not None}
    return PackedClicks(
        row["clicks"],
        decompress(row["quarters"]),
        columns.get("links"),
        {name: columns[name] for name in VALUE_COLUMNS if name in columns},
        columns.get("visitors"),
        columns.get("pseudonyms"),
    )
