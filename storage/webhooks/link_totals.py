"""Links' totals of clicks, for milestones: read in one statement of the fold's transaction.

Deltas become segments, and segments counts in tables, while folds go on: one statement has each click once.
What it unpacks is bounded, as the fold waits for it; if it is much, a thread does it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Final

import asyncpg

from engine.stats.packed.profile_clicks import ProfileClicks
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.pieces import clicks_of, pieces_of

MAX_PACKED_CLICKS: Final = 2_000_000  # unpacked for one fold, in some 100 ms
CLICKS_IN_LOOP: Final = 2_000
_SQL: Final = queries.load("webhooks/click_events")

LinkKey = tuple[int, int, int]  # tenant, profile, link
_PiecesOf = dict[tuple[int, int], list[asyncpg.Record]]


async def link_totals(connection: Connection, links: Collection[LinkKey]) -> dict[LinkKey, int]:
    """Return the clicks of links that the transaction sees.

    Links of profiles whose packed clicks are too many to be read with the others' are left out.
    """
    totals: dict[LinkKey, int] = {}
    pieces: _PiecesOf = defaultdict(list)
    columns = zip(*links, strict=True)
    for row in await connection.fetch(_SQL["totals"], *columns, MAX_PACKED_CLICKS):
        if row["link_id"] is None:
            pieces[row["tenant_id"], row["profile_id"]].append(row)
        elif row["known"]:
            totals[row["tenant_id"], row["profile_id"], row["link_id"]] = row["clicks"]
    if sum(map(clicks_of, pieces.values())) < CLICKS_IN_LOOP:
        packed = _clicks_by_link(pieces)
    else:
        packed = await asyncio.to_thread(_clicks_by_link, pieces)
    return {link: clicks + packed[link] for link, clicks in totals.items()}


def _clicks_by_link(pieces: _PiecesOf) -> Counter[LinkKey]:
    counts: Counter[LinkKey] = Counter()
    for profile, rows in pieces.items():
        for piece in pieces_of(rows):
            clicks = ProfileClicks([piece])
            for link_id, count in Counter(clicks.links[clicks.counted_as == 0].tolist()).items():
                counts[(*profile, link_id)] += count
    return counts
