"""Two dimensions crossed, which no sum by dimension can tell: counted from raw clicks.

That reads every click of the period, so it is for as many as are counted in well under a second, and for as
long as raw clicks are kept.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import numpy as np

from engine.clicks.dimension import Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period, plan
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.query import Filter, StatsQuery
from engine.stats.result import MetricValues, Stats
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("stats/stats")
MAX_CROSSED: Final = 500_000
MAX_GROUPS: Final = 50_000  # with days and intervals, before they are cut to the limit asked for
FEW_BYTES: Final = 4_096  # below, a set is faster than numpy
_KIND: Final = (
    "CASE classification & 7 WHEN 2 THEN 'bot' WHEN 3 THEN 'preview' WHEN 4 THEN 'prefetch' "
    "WHEN 6 THEN 'tool' ELSE 'human' END"
)
# VARIANT is not among them: a click can have several.
_COLUMNS: Final = {
    **{
        one: f"coalesce({one.name.lower()}, '')"
        for one in (
            Dimension.COUNTRY, Dimension.REGION, Dimension.CITY, Dimension.CONTINENT,
            Dimension.BROWSER, Dimension.OS, Dimension.DEVICE, Dimension.SOURCE, Dimension.DOMAIN,
            Dimension.UTM_SOURCE, Dimension.UTM_MEDIUM, Dimension.UTM_CAMPAIGN, Dimension.UTM_TERM,
            Dimension.UTM_CONTENT,
        )
    },
    Dimension.REFERRER: "coalesce(referrer_host, '')",
    Dimension.LANGUAGE: "coalesce(locale, '')",
    Dimension.TRIGGER: "CASE trigger WHEN 1 THEN 'page' WHEN 2 THEN 'qr' ELSE 'link' END",
    Dimension.KIND: _KIND,
    Dimension.LINK: "link_id::text",
}  # fmt: skip
_CONDITIONS: Final = {
    "=": "{column} = ${number}",
    "!=": "{column} <> ${number}",
    "~=": "strpos(lower({column} COLLATE \"C\"), lower(${number} COLLATE \"C\")) > 0",
}  # fmt: skip


async def crossed(
    connection: Connection, tenant_id: int, profile_id: int, query: StatsQuery
) -> Stats:
    """Raises InvalidError for what is too much, or no longer there."""
    if Dimension.VARIANT in query.dimensions:
        raise InvalidError(
            [FieldError("group", "variant cannot be crossed with another dimension")]
        )
    place = (tenant_id, profile_id, query.start, query.end)
    await _check(connection, place, query)
    starts: tuple[datetime, ...] = (query.start,)
    if query.by_time:
        tz = period.zone(query.tz)
        starts = plan.boundaries(query.start, query.end, query.interval, tz)
    text, values = _statement(query)
    rows = await connection.fetch(text, *place, list(starts), *values, MAX_GROUPS + 1)
    if len(rows) > MAX_GROUPS:
        reason = f"makes more than {MAX_GROUPS} groups; filter, or ask for a shorter period"
        raise InvalidError([FieldError("group", reason)])
    as_of = await connection.fetchval(_SQL["as_of"])
    # That may take tenths of a second, in which others are to be answered.
    return await asyncio.to_thread(_stats, rows, starts, query, as_of)


def _stats(
    rows: Sequence[asyncpg.Record], starts: Sequence[datetime], query: StatsQuery, as_of: datetime
) -> Stats:
    tz = period.zone(query.tz)
    sums: defaultdict[RowGroup, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    everybody: defaultdict[datetime, list[bytes]] = defaultdict(list)
    begins: list[datetime | None] = [None]
    if query.by_time:
        begins = [period.interval_start_utc(start, query.interval, tz) for start in starts]
    for first, second, row, day, clicks, views, bots, people in rows:
        added = sums[RowGroup(begins[row - 1], (first, second)[: len(query.groups)])]
        added[0] += clicks
        added[1] += views
        added[2] += bots
        added[3] += _different(people or b"")
        everybody[day].append(people or b"")
    whole = [sum(added[n] for added in sums.values()) for n in range(3)]
    whole.append(sum(_different(b"".join(day)) for day in everybody.values()))
    groups = {key: _counted(added, query) for key, added in sums.items()}
    return Stats(rows=order_groups(groups, query, tz), totals=_counted(whole, query), as_of=as_of)


def _counted(sums: Sequence[int], query: StatsQuery) -> MetricValues:
    return MetricValues(*sums) if "visitors" in query.metrics else MetricValues(*sums[:3])


def _different(people: bytes) -> int:
    """How many visitors of a day they are."""
    if len(people) < FEW_BYTES:
        return len(set(memoryview(people).cast("q")))
    return int(np.unique(np.frombuffer(people, np.int64)).size)


async def _check(connection: Connection, place: tuple[Any, ...], query: StatsQuery) -> None:
    link = next(
        (
            int(one.value)
            for one in query.filters
            if one.dimension is Dimension.LINK and one.operator == "="
        ),
        None,
    )
    found = await connection.fetchrow(_SQL["crossable"], *place, link)
    if found is None:
        return  # the profile is gone, and with it what could be counted
    if query.start < found["since"]:
        since = found["since"].date().isoformat()
        reason = f"two dimensions are counted from raw clicks, which are kept since {since}"
        raise InvalidError([FieldError("from", reason)])
    if found["clicks"] > MAX_CROSSED:
        raise InvalidError(
            [
                FieldError(
                    "from",
                    f"two dimensions are counted from raw clicks: at most {MAX_CROSSED} of them, and the "
                    f"period has {found['clicks']}; ask for a shorter one, or for one link",
                )
            ]
        )


def _statement(query: StatsQuery) -> tuple[str, list[str]]:
    """The query with the columns asked for in their places, and the values of its conditions."""
    marks = ("/*first*/''", "/*second*/''")
    columns = dict(zip(marks, (_COLUMNS[one] for one in query.groups), strict=False))
    if query.by_time:
        columns["/*row*/1"] = "width_bucket(at, $5::timestamptz[])"
    if "visitors" in query.metrics:
        # Who came on two days is two visitors.
        columns["/*visitor*/NULL"] = "visitor"
        columns["/*day*/NULL"] = "date_bin('1 day', at, 'epoch')"
    text = _SQL["crossed"]
    for mark, column in columns.items():
        text = text.replace(mark, column)
    conditions, values = [], []
    for number, one in enumerate(query.filters, 6):
        conditions.append(_condition(one, number))
        values.append(one.value)
    text = text.replace("/*filters*/", "".join(f"{one} AND " for one in conditions))
    return text.replace("/*limit*/$6", f"${6 + len(values)}"), values


def _condition(one: Filter, number: int) -> str:
    return _CONDITIONS[one.operator].format(column=_COLUMNS[one.dimension], number=number)
