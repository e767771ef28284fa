"""Stats of two crossed dimensions, counted from raw clicks, as dimension counts have one dimension only.

Such a query reads every click of the period, so it is limited to MAX_CROSSED clicks (well under a second),
and to the time for which raw clicks are kept.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np

from engine.common.errors import FieldError, InvalidError
from engine.stats import period
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.plan import RawClicksPlan
from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, Stats
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats import statements
from storage.stats.statements import ProfileKey

_SQL: Final = queries.load("stats/stats")
MAX_CROSSED: Final = 500_000
MAX_GROUPS: Final = 50_000  # groups by interval and day, before the query's limit applies
FEW_BYTES: Final = 4_096  # below, a set is faster than numpy


async def crossed(
    connection: Connection, profile: ProfileKey, query: StatsQuery, plan: RawClicksPlan
) -> Stats:
    """Answer the query from raw clicks. Raises InvalidError if they are too many or not kept."""
    await _check(connection, profile, plan)
    text, values = statements.crossed(profile, plan, MAX_GROUPS + 1)
    rows = await connection.fetch(text, *values)
    if len(rows) > MAX_GROUPS:
        reason = f"must not make more than {MAX_GROUPS} groups; filter, or ask for a shorter period"
        raise InvalidError([FieldError("group", reason)])
    as_of = await connection.fetchval(_SQL["as_of"])
    # In a thread, because merging may take tenths of a second, and other requests must not wait.
    return await asyncio.to_thread(_merge, rows, plan.starts, query, as_of)


async def _check(connection: Connection, profile: ProfileKey, plan: RawClicksPlan) -> None:
    text, values = statements.crossable(profile, plan)
    retention = await connection.fetchrow(text, *values)
    if retention is None:
        return  # the profile is deleted, so there is nothing to count
    if plan.starts[0] < retention["since"]:
        since = retention["since"].date().isoformat()
        reason = f"must not be before {since}: two dimensions are counted from raw clicks, kept since then"
        raise InvalidError([FieldError("from", reason)])
    if retention["clicks"] > MAX_CROSSED:
        reason = (
            f"must be later: two dimensions are counted from at most {MAX_CROSSED} raw clicks, and the "
            f"period has {retention['clicks']}; ask for a shorter one, or for one link"
        )
        raise InvalidError([FieldError("from", reason)])


def _merge(
    rows: Sequence[asyncpg.Record], starts: Sequence[datetime], query: StatsQuery, as_of: datetime
) -> Stats:
    tz = period.zone(query.tz)
    sums: defaultdict[RowGroup, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    pseudonyms_of_days: defaultdict[datetime, list[bytes]] = defaultdict(list)
    times: list[datetime | None] = [None]
    if query.by_time:
        times = [period.interval_start_utc(start, query.interval, tz) for start in starts]
    for first, second, row, day, clicks, views, bots, pseudonyms in rows:
        group = sums[RowGroup(times[row - 1], (first, second)[: len(query.groups)])]
        group[0] += clicks
        group[1] += views
        group[2] += bots
        group[3] += _distinct(pseudonyms or b"")
        pseudonyms_of_days[day].append(pseudonyms or b"")
    totals = [sum(group[n] for group in sums.values()) for n in range(3)]
    totals.append(sum(_distinct(b"".join(day)) for day in pseudonyms_of_days.values()))
    groups = {key: _metric_values(group, query) for key, group in sums.items()}
    return Stats(
        rows=order_groups(groups, query, tz), totals=_metric_values(totals, query), as_of=as_of
    )


def _metric_values(sums: Sequence[int], query: StatsQuery) -> MetricValues:
    return MetricValues(*sums) if query.visitors else MetricValues(*sums[:3])


def _distinct(pseudonyms: bytes) -> int:
    """Return the number of different pseudonyms (8 bytes each) in the bytes."""
    if len(pseudonyms) < FEW_BYTES:
        return len(set(memoryview(pseudonyms).cast("q")))
    return int(np.unique(np.frombuffer(pseudonyms, np.int64)).size)
