"""Damaged deltas: those that cannot be unpacked are set aside, so that one day does not keep others waiting.

The clicks of a damaged delta are in no answer until `waypost rebuild` counts its day again from raw clicks,
which deletes the damaged delta.
"""

import logging
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from engine.stats.packed.packed_clicks import decode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import repacked
from engine.stats.profile_day import ProfileDay
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.postgres.session import open_cursor

logger = logging.getLogger("waypost.settler")
_SQL: Final = queries.load("stats/damaged_deltas")
DAMAGE: Final = (ValueError, IndexError, struct.error, zlib.error, msgspec.DecodeError)
DELTAS_AT_ONCE: Final = 20
STATEMENT_TIMEOUT_S: Final = 1_200.0


async def set_damaged_aside(connection: Connection, days: Sequence[ProfileDay]) -> int:
    """Move the damaged deltas of days that the transaction has locked out of their way. Returns how many."""
    cursor = await open_cursor(
        connection, _SQL["deltas"], *zip(*days, strict=True),
        prefetch=DELTAS_AT_ONCE, timeout_s=STATEMENT_TIMEOUT_S,
    )  # fmt: skip
    places, reasons = [], []
    async for place, *key, data in cursor:
        day = ProfileDay(*key)
        if reason := _damage(day, data):
            places.append(place)
            reasons.append(reason)
            logger.error(
                "a delta of profile %d's %s cannot be unpacked (%s); count the day again: waypost rebuild",
                day.profile_id, day.day, reason, extra={"event": "delta_damaged"},
            )  # fmt: skip
    if places:
        await connection.execute(_SQL["set_aside"], places, reasons)
    return len(places)


def _damage(day: ProfileDay, data: bytes) -> str:
    """Return what keeps a delta from being unpacked, or an empty text."""
    try:
        repacked(ProfileClicks([Piece(day.day, decode(data))]), day.day, as_segment=True)
    except DAMAGE as error:
        return repr(error)[:200]
    return ""
