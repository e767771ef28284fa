"""Counts of packed clicks, read back from the tables and counted by plain loops."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from engine.clicks.dimension import ALL_LINKS, EVENT_DIMENSIONS, Dimension
from engine.clicks.rollup import TIME_BUCKET_US, RollupCounts, RollupKey
from engine.stats.packed.packed_clicks import COLUMN_OF, decode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from storage.postgres.database import Connection
from storage.stats.segments import piece_of


async def rollups_of_deltas(connection: Connection) -> dict[RollupKey, RollupCounts]:
    """Return the counts of all deltas, by link and time bucket."""
    rows = await connection.fetch("SELECT tenant_id, profile_id, day, data FROM click_deltas")
    return rollups((row[:2], Piece(row["day"], decode(row["data"]))) for row in rows)


async def rollups_of_pieces(connection: Connection) -> dict[RollupKey, RollupCounts]:
    """Return the counts of all deltas and segments that are in no table."""
    segments = await connection.fetch("SELECT * FROM click_segments WHERE NOT in_tables")
    sums: Counter[tuple[Any, ...]] = Counter()
    for counts in (
        await rollups_of_deltas(connection),
        rollups((row[:2], piece_of(row)) for row in segments),
    ):
        for key, numbers in counts.items():
            for place, number in enumerate(numbers):
                sums[(*key, place)] += number
    keys = {RollupKey(*key[:4]) for key in sums}
    return {key: RollupCounts(*(sums[(*key, place)] for place in range(3))) for key in keys}


def rollups(pieces: Iterable[tuple[Any, Piece]]) -> dict[RollupKey, RollupCounts]:
    """Return the counts of pieces, each with the tenant and the profile that it is of."""
    sums: dict[RollupKey, list[int]] = {}
    for (tenant_id, profile_id), piece in pieces:
        clicks = ProfileClicks([piece])
        for link, quarter, counted_as in zip(
            clicks.links.tolist(), clicks.quarters.tolist(), clicks.counted_as.tolist(), strict=True
        ):
            key = RollupKey(tenant_id, profile_id, link, quarter * TIME_BUCKET_US)
            sums.setdefault(key, [0, 0, 0])[counted_as] += 1
    return {key: RollupCounts(*counts) for key, counts in sums.items()}


class StoredPieces(NamedTuple):
    """All pieces of packed clicks, each with its profile: those counted in tables as well, and the others."""

    in_tables: list[tuple[int, Piece]]
    others: list[tuple[int, Piece]]


async def stored_pieces(connection: Connection) -> StoredPieces:
    """Read all pieces. Call in a transaction of one snapshot."""
    pieces = StoredPieces([], [])
    for row in await connection.fetch("SELECT profile_id, day, data FROM click_deltas"):
        pieces.others.append((row["profile_id"], Piece(row["day"], decode(row["data"]))))
    for row in await connection.fetch("SELECT * FROM click_segments"):
        of = pieces.in_tables if row["in_tables"] else pieces.others
        of.append((row["profile_id"], piece_of(row)))
    return pieces


def sums_of(pieces: Iterable[tuple[int, Piece]]) -> Counter[tuple[Any, ...]]:
    """Return counts by link, dimension, value, Unix second of the time bucket, and column."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for _, piece in pieces:
        clicks = ProfileClicks([piece])
        heads = list(
            zip(
                clicks.links.tolist(), clicks.quarters.tolist(), clicks.counted_as.tolist(), strict=True
            )
        )  # fmt: skip
        for link, quarter, counted_as in heads:
            for of in (link, ALL_LINKS):
                sums[of, 0, "", quarter * 900, counted_as] += 1
            sums[ALL_LINKS, int(Dimension.LINK), str(link), quarter * 900, counted_as] += 1
        for dimension in COLUMN_OF.keys() - EVENT_DIMENSIONS:
            values = clicks.values(dimension)
            for number, code in zip(values.clicks.tolist(), values.codes.tolist(), strict=True):
                link, quarter, counted_as = heads[number]
                for of in (link, ALL_LINKS):
                    key = (of, int(dimension), values.names[code], quarter * 900, counted_as)
                    sums[key] += 1
    return sums
