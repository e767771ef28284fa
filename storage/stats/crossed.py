"""Stats of two crossed dimensions, counted from packed clicks: the tables of hot days have one dimension only.

Such a query reads every click of the period, so it is limited to MAX_CROSSED clicks (well under a second). The
packed clicks of hot days are deleted with the raw clicks; those of other days stay, and so do own events.
"""

import asyncio
from datetime import date
from typing import Final

from engine.common.errors import FieldError, InvalidError
from engine.stats.packed.crossed_sums import columns_of, crossed_sums
from engine.stats.packed.profile_clicks import ProfileClicks
from engine.stats.plan import CrossedPlan
from engine.stats.ports import ProfileKey
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.packed_sums import CLICKS_IN_LOOP
from storage.stats.pieces import StoredPieces, pieces_of, read_pieces, utc_days

_SQL: Final = queries.load("stats/stats")
MAX_CROSSED: Final = 500_000
MAX_GROUPS: Final = 50_000  # groups by interval, before the query's limit applies


async def crossed(
    connection: Connection, profile: ProfileKey, query: StatsQuery, plan: CrossedPlan
) -> Stats:
    """Answer the query from packed clicks. Raises InvalidError if they are too many or not kept."""
    first, last = utc_days(plan.starts[0], plan.end)
    if not plan.of_events:
        await _require_kept(connection, profile, first)
    stored = await read_pieces(
        connection, *profile, first, last, columns_of(plan), max_clicks=MAX_CROSSED,
        in_tables=not plan.of_events,
    )  # fmt: skip
    if stored.clicks > MAX_CROSSED:
        day = await connection.fetchval(_SQL["few_since"], *profile, first, last, MAX_CROSSED)
        raise InvalidError([FieldError("from", _too_many(stored.clicks, day, last))])
    if stored.clicks < CLICKS_IN_LOOP:
        return _answer(stored, query, plan)
    # In a thread, because it may take tenths of a second, and other requests must not wait.
    return await asyncio.to_thread(_answer, stored, query, plan)


def _answer(stored: StoredPieces, query: StatsQuery, plan: CrossedPlan) -> Stats:
    rows = [*stored.packed, *stored.pending, *stored.in_tables]
    return crossed_sums(ProfileClicks(pieces_of(rows)), query, plan, stored.as_of, MAX_GROUPS)


def _too_many(clicks: int, day: date, last: date) -> str:
    """Return the reason of a refusal; the period has few enough clicks from `day` on."""
    offer = f"ask for {day} or later"
    if day > last:
        offer = "its last day alone has too many; ask for one dimension"
    return (
        f"must be later: two dimensions are counted together in at most {MAX_CROSSED} clicks, and the period "
        f"has about {clicks}; {offer}"
    )


async def _require_kept(connection: Connection, profile: ProfileKey, first: date) -> None:
    """Raise InvalidError if packed clicks of hot days from `first` on are deleted."""
    since = await connection.fetchval(_SQL["tables_only_since"], *profile)
    if since is None:
        return  # the profile is deleted, so there is nothing to count
    if first < since and await connection.fetchval(_SQL["has_hot_days"], *profile, first, since):
        reason = f"must not be before {since}: of days with many clicks two dimensions are kept since then"
        raise InvalidError([FieldError("from", reason)])
