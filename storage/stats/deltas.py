"""Deltas: packed clicks of one profile's UTC day, appended by the fold in the transaction of its watermark."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

import trio

from engine.clicks.day_rows import DayRows, ProfileDayKey
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import PackedClicks, encode
from storage.postgres.database import Connection

CLICKS_AT_ONCE: Final = 2_000  # packed between two checkpoints, in some 10 ms
_COLUMNS: Final = ("tenant_id", "profile_id", "day", "clicks", "data")
_EPOCH: Final = date(1970, 1, 1)


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
    for key, rows in days.items():
        deltas.append(
            Delta(
                key.tenant_id,
                key.profile_id,
                _EPOCH + timedelta(days=key.day),
                len(rows.rows),
                encode(pack(rows, texts)),
            )
        )
        unchecked += len(rows.rows)
        if unchecked >= CLICKS_AT_ONCE:
            unchecked = 0
            await trio.lowlevel.checkpoint()
    return deltas


async def add_deltas(connection: Connection, deltas: list[Delta]) -> None:
    """Append deltas in the caller's transaction."""
    if deltas:
        await connection.copy_records_to_table("click_deltas", records=deltas, columns=_COLUMNS)
