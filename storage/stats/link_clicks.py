"""Clicks of a profile's links in a period, from counts: packed clicks, and the tables of hot days.

All is read in one snapshot, that of the transaction, as clicks move from one to the other meanwhile. Of a large
profile, packed clicks are unpacked in a thread; more than MAX_CLICKS are refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import numpy as np

from engine.common.errors import FieldError, InvalidError, SlowQueryError
from engine.links.link_clicks import (
    MAX_CLICKS,
    ClickPeriod,
    ClicksOfLinks,
    LinkClickCounts,
    quarter_time,
)
from engine.stats.packed.profile_clicks import QUARTERS, ProfileClicks, quarter_of
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.packed_sums import CLICKS_IN_LOOP
from storage.stats.pieces import PieceRows, pieces_of, read_pieces

SQL: Final = queries.load("stats/link_clicks")
STATEMENT_MS: Final = 5_000
_Sums = dict[int, tuple[int, int]]


async def link_clicks(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    period: ClickPeriod,
    links: Sequence[int] | None,
) -> ClicksOfLinks:
    """Return the clicks of links (None: of all) that have some. Raises InvalidError for too many clicks, and
    SlowQueryError.

    Opening clicks and resets are left to the calling code.
    """
    try:
        await connection.execute(SQL["limit"], str(STATEMENT_MS))
        sums = await _sums(connection, (tenant_id, profile_id), period, links)
    except asyncpg.QueryCanceledError:
        raise SlowQueryError(
            "the clicks take too long to count; ask for a shorter period"
        ) from None
    return {
        link: LinkClickCounts(clicks, quarter_time(last)) for link, (clicks, last) in sums.items()
    }


async def _sums(
    connection: Connection,
    key: tuple[int, int],
    period: ClickPeriod,
    links: Sequence[int] | None,
) -> _Sums:
    stored = await read_pieces(
        connection, *key, period.first, period.last, ("links", "kinds"), max_clicks=MAX_CLICKS
    )
    if stored.clicks > MAX_CLICKS:
        reason = f"must be shorter: it has more than {MAX_CLICKS:,} clicks that are not in tables"
        raise InvalidError([FieldError("period", reason)])
    # Of a hot day, deltas that are settled later are in no table yet.
    rows = [*stored.packed, *stored.pending]
    if stored.clicks < CLICKS_IN_LOOP:
        sums = _packed(rows, period, links)
    else:
        sums = await asyncio.to_thread(_packed, rows, period, links)
    if stored.has_tables:
        for row in await connection.fetch(SQL["in_tables"], *key, period.first, period.last, links):
            clicks, last = sums.get(row["link_id"], (0, 0))
            sums[row["link_id"]] = clicks + row["clicks"], max(last, row["quarter"] or 0)
    return sums


def _packed(rows: PieceRows, period: ClickPeriod, links: Sequence[int] | None) -> _Sums:
    """Return the sums of packed clicks, and their last quarters."""
    sums: _Sums = {}
    start, end = quarter_of(period.first), quarter_of(period.last) + QUARTERS
    for number in range(0, len(rows), _PIECES):
        clicks = ProfileClicks(pieces_of(rows[number : number + _PIECES]))
        if not len(clicks):
            continue
        mask = (clicks.counted_as == 0) & (clicks.quarters >= start) & (clicks.quarters < end)
        mask &= clicks.links > 0
        if links is not None:
            mask &= np.isin(clicks.links, list(links))
        of, places, counts = np.unique(clicks.links[mask], return_inverse=True, return_counts=True)
        last = np.zeros(len(of), np.int64)
        np.maximum.at(last, places, clicks.quarters[mask])
        for link, count, quarter in zip(of.tolist(), counts.tolist(), last.tolist(), strict=True):
            known, until = sums.get(link, (0, 0))
            sums[link] = known + count, max(until, quarter)
    return sums


_PIECES: Final = 64
