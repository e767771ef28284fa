"""Two dimensions crossed, which no sum by dimension can tell: counted from raw clicks.

That reads every click of the period, so it is for as many as are counted in well under a second, and for as
long as raw clicks are kept.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from engine import period, stats_plan
from engine.dimension import Dimension
from engine.errors import FieldError, InvalidError
from engine.rollup import Counted, Stats
from engine.stats_query import Filter, StatsQuery
from engine.stats_rows import Group, arranged
from storage import sql
from storage.postgres import Connection

_SQL: Final = sql.load("stats")
MAX_CROSSED: Final = 200_000
_KIND: Final = (
    "CASE verdict & 7 WHEN 2 THEN 'bot' WHEN 3 THEN 'preview' WHEN 4 THEN 'prefetch' "
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
    tz = period.zone(query.tz)
    starts: tuple[datetime, ...] = (query.start,)
    if query.by_time:
        starts = stats_plan.boundaries(query.start, query.end, query.interval, tz)
    text, values = _statement(query, query.groups)
    rows = await connection.fetch(text, *place, list(starts), *values)
    visitors = "visitors" in query.metrics
    groups = {}
    for first, second, row, clicks, views, bots, people in rows:
        start = None
        if query.by_time:
            start = period.floor(starts[row - 1], query.interval, tz)
        key = Group(start, (first, second)[: len(query.groups)])
        groups[key] = Counted(clicks, views, bots, people if visitors else None)
    return Stats(
        rows=arranged(groups, query, tz),
        totals=await _totals(connection, place, query),
        as_of=await connection.fetchval(_SQL["as_of"]),
    )


async def _totals(connection: Connection, place: tuple[Any, ...], query: StatsQuery) -> Counted:
    text, values = _statement(query, ())
    rows = await connection.fetch(text, *place, [query.start], *values)
    visitors = "visitors" in query.metrics
    if not rows:
        return Counted(0, 0, 0, 0 if visitors else None)
    _, _, _, clicks, views, bots, people = rows[0]
    return Counted(clicks, views, bots, people if visitors else None)


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


def _statement(query: StatsQuery, groups: Sequence[Dimension]) -> tuple[str, list[str]]:
    """The query with the columns asked for in their places, and the values of its conditions."""
    text = _SQL["crossed"]
    for mark, dimension in zip(("/*first*/''", "/*second*/''"), groups, strict=False):
        text = text.replace(mark, _COLUMNS[dimension])
    conditions, values = [], []
    for number, one in enumerate(query.filters, 6):
        conditions.append(_condition(one, number))
        values.append(one.value)
    return text.replace("/*filters*/true", " AND ".join(conditions) or "true"), values


def _condition(one: Filter, number: int) -> str:
    return _CONDITIONS[one.operator].format(column=_COLUMNS[one.dimension], number=number)
