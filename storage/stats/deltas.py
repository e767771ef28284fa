"""Deltas: packed clicks of one profile's UTC day, appended by the fold in the transaction of its watermark."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date, timedelta
from struct import Struct
from typing import Final, NamedTuple

import trio

from engine.clicks.copy_rows import COPY_HEADER, COPY_TRAILER
from engine.clicks.day_rows import DayRows, ProfileDayKey
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import PackedClicks, encode
from storage.postgres.database import Connection

CLICKS_AT_ONCE: Final = 2_000  # packed between two checkpoints, in some 10 ms
# Bytes. Below, compressing takes as long as packing and saves a tenth, until the delta is merged.
COMPRESSED_FROM: Final = 1_024
_COLUMNS: Final = ("tenant_id", "profile_id", "day", "clicks", "data")
_EPOCH: Final = date(1970, 1, 1)
_POSTGRES_EPOCH: Final = date(2000, 1, 1)
_ROW: Final = Struct(
    ">hiqiqiiiii"
)  # of a binary COPY: the count, and for each column its length and value


class Delta(NamedTuple):
    """A row of click_deltas."""

    tenant_id: int
    profile_id: int
    day: date
    clicks: int
    data: bytes


async def pack_deltas(
    days: Mapping[ProfileDayKey, DayRows],
    texts: ValueTexts,
    pack: Callable[[DayRows, ValueTexts], PackedClicks] = pack_day,
) -> list[Delta]:
    """Pack the clicks of a fold, a delta for each profile's day. `pack` packs one."""
    deltas = []
    unchecked = 0
    dates: dict[int, date] = {}
    for key, rows in days.items():
        tenant_id, profile_id, number = key
        day = dates.get(number)
        if day is None:
            day = dates[number] = _EPOCH + timedelta(days=number)
        data = encode(pack(rows, texts), COMPRESSED_FROM)
        deltas.append(Delta(tenant_id, profile_id, day, len(rows.rows), data))
        unchecked += len(rows.rows)
        if unchecked >= CLICKS_AT_ONCE:
            unchecked = 0
            await trio.lowlevel.checkpoint()
    return deltas


async def add_deltas(connection: Connection, deltas: list[Delta]) -> None:
    """Append deltas in the caller's transaction."""
    if not deltas:
        return
    # The driver takes three times as long to encode rows, which a long tail of profiles has many of.
    parts = [COPY_HEADER]
    days: dict[date, int] = {}
    for tenant_id, profile_id, day, clicks, data in deltas:
        number = days.get(day)
        if number is None:
            number = days[day] = (day - _POSTGRES_EPOCH).days
        size = len(data)
        parts += (_ROW.pack(5, 8, tenant_id, 8, profile_id, 4, number, 4, clicks, size), data)
    parts.append(COPY_TRAILER)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"".join(parts)

    await connection.copy_to_table(
        "click_deltas", source=chunks(), columns=_COLUMNS, format="binary"
    )
