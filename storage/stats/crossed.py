"""Stats of two crossed dimensions, counted from packed clicks: the tables of hot days have one dimension only.

Such a query reads every click of the period, so it is limited to MAX_CROSSED clicks (well under a second). The
packed clicks of hot days are deleted with the raw clicks; those of other days stay.
"""

import asyncio
from typing import Final

from engine.common.errors import FieldError, InvalidError
from engine.stats.packed.crossed_sums import columns_of, crossed_sums
from engine.stats.packed.profile_clicks import ProfileClicks
from engine.stats.plan import CrossedPlan
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.pieces import count_clicks, read_pieces, utc_days
from storage.stats.statements import ProfileKey

_SQL: Final = queries.load("stats/stats")
MAX_CROSSED: Final = 500_000
MAX_GROUPS: Final = 50_000  # groups by interval, before the query's limit applies


async def crossed(
    connection: Connection, profile: ProfileKey, query: StatsQuery, plan: CrossedPlan
) -> Stats:
    """Answer the query from packed clicks. Raises InvalidError if they are too many or not kept."""
    await _check(connection, profile, plan)
    first, last = utc_days(plan.starts[0], plan.end)
    columns = columns_of(plan)
    pieces = await read_pieces(connection, *profile, first, last, columns, in_tables=True)
    as_of = await connection.fetchval(_SQL["as_of"])
    clicks = ProfileClicks([*pieces.packed, *pieces.pending, *pieces.in_tables])
    # In a thread, because it may take tenths of a second, and other requests must not wait.
    return await asyncio.to_thread(crossed_sums, clicks, query, plan, as_of, MAX_GROUPS)


async def _check(connection: Connection, profile: ProfileKey, plan: CrossedPlan) -> None:
    first, last = utc_days(plan.starts[0], plan.end)
    since = await connection.fetchval(_SQL["tables_only_since"], *profile)
    if since is None:
        return  # the profile is deleted, so there is nothing to count
    if first < since and await connection.fetchval(_SQL["has_hot_days"], *profile, first, since):
        reason = f"must not be before {since}: of days with many clicks two dimensions are kept since then"
        raise InvalidError([FieldError("from", reason)])
    clicks = await count_clicks(connection, *profile, first, last)
    if clicks > MAX_CROSSED:
        reason = (
            f"must be later: two dimensions are counted together in at most {MAX_CROSSED} clicks, and the "
            f"period has about {clicks}; ask for a shorter one"
        )
        raise InvalidError([FieldError("from", reason)])
