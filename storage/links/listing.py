"""Lists of a profile's links in Postgres: filters and order as the question has them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.common.list_page import ListPage
from engine.links.link_clicks import ClicksOfLinks
from engine.links.link_query import LinkQuery, with_clicks
from engine.links.link_size import LinkPage, link_chars
from storage.accounts.access import MAX_ID, ProfileAccess
from storage.links.link_rows import link_of
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.postgres.session import open_cursor

SQL: Final = queries.load("links/profiles")
# So that a page that its size ends has read few links more. The API's pages are read at once.
_ROWS_AT_ONCE: Final = 101


class _Order(NamedTuple):
    """A sort: its expression, and the type as which Python writes the value before."""

    expression: str
    cast: str


_ORDERS: Final = {
    "updated": _Order("l.updated_at", "timestamptz"),
    "title": _Order('lower(l.title) COLLATE "C"', 'text COLLATE "C"'),
    "slug": _Order('l.slug COLLATE "C"', 'text COLLATE "C"'),
    "position": _Order("l.position", "bigint"),
    "clicks": _Order("coalesce(c.clicks, 0)", "bigint"),
    "last_click": _Order("coalesce(c.quarter, 0)", "bigint"),
}
_TOTAL: Final = _Order(
    "greatest(0, coalesce(c.clicks, 0) + l.opening_clicks - l.counts_offset)", "bigint"
)
_BY_CLICKS: Final = ("clicks", "last_click")
_UNTIL: Final = "(l.options ->> 'active_until')::timestamptz"
_FROM: Final = "(l.options ->> 'active_from')::timestamptz"
_PAUSED: Final = "coalesce((l.options ->> 'paused')::boolean, false)"
_OVER: Final = f"NOT {_PAUSED} AND {_UNTIL} <= now()"
_SCHEDULED: Final = f"NOT {_PAUSED} AND coalesce({_UNTIL} > now(), true) AND {_FROM} > now()"
_OPEN: Final = (
    f"NOT {_PAUSED} AND coalesce({_UNTIL} > now(), true) AND coalesce({_FROM} <= now(), true)"
)
_QUARANTINED: Final = (
    "(l.engine_quarantine IS NOT NULL OR coalesce((l.options ->> 'quarantined')::boolean, false))"
)
_STATES: Final = {
    "paused": _PAUSED,
    "over": _OVER,
    "scheduled": _SCHEDULED,
    "quarantined": f"{_OPEN} AND {_QUARANTINED}",
    "active": f"{_OPEN} AND NOT {_QUARANTINED}",
}
_HEALTH: Final = """coalesce((SELECT h.state FROM link_health AS h WHERE h.tenant_id = l.tenant_id
    AND h.link_id = l.id AND h.target = l.target AND h.checked_at IS NOT NULL), 'unchecked')"""
_SEARCHED: Final = ("l.slug", "l.title", "l.target", "l.notes", "l.external_id")


async def list_links(
    connection: Connection,
    access: ProfileAccess,
    query: LinkQuery,
    counted: ClicksOfLinks,
    after: int,
    limit: int,
) -> ListPage:
    """Return a page of the links that pass the query's filters, in its order; with a period, each with its
    clicks of `counted`."""
    # Where the planner knows no statistics, it would read a large profile whole and sort.
    if query.sort in ("created", "position") and query == LinkQuery(sort=query.sort):
        await connection.execute(SQL["read_in_index_order"])
    statement, values = _statement(access, query, counted, min(after, MAX_ID), limit + 1)
    page = LinkPage(limit)
    async for row in await open_cursor(connection, statement, *values, prefetch=_ROWS_AT_ONCE):
        link = link_of(row)
        if query.period is not None:
            link = with_clicks(link, counted.get(link.id), query.period)
        if not page.add(link, link_chars(link.target, link.notes, row["options"])):
            break
    return page.page()


def _statement(
    access: ProfileAccess, query: LinkQuery, counted: ClicksOfLinks, after: int, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement and its parameters. The question's texts are parameters only."""
    values: list[Any] = [access.tenant_id, access.profile_id]

    def parameter(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    conditions = _conditions(query, parameter)
    join = _join_of_clicks(counted, parameter) if query.sort in _BY_CLICKS else ""
    sign, direction = ("<", "DESC") if query.descending else (">", "ASC")
    all_time = query.period is not None and query.period.all_time
    order = _TOTAL if query.sort == "clicks" and all_time else _ORDERS.get(query.sort)
    if order is None:
        ordering = f"l.id {direction}"
        if after:
            conditions.append(f"l.id {sign} {parameter(after)}")
    else:
        ordering = f"{order.expression} {direction}, l.id {direction}"
        if after:
            before = parameter(_typed(query))
            conditions.append(
                f"({order.expression}, l.id) {sign} ({before}::{order.cast}, {parameter(after)})"
            )
    filters = "".join(f"\n    AND {condition}" for condition in conditions)
    ending = f"{filters}\nORDER BY {ordering} LIMIT {parameter(limit)}"
    text = SQL["list_links"].replace("/* clicks */", join)
    return text.replace("/* conditions, order */", ending), values


def _join_of_clicks(counted: ClicksOfLinks, parameter: Callable[[Any], str]) -> str:
    """Return the join with the clicks of links, as columns of numbers."""
    quarters = [
        0 if clicks.last_click is None else round(clicks.last_click.timestamp()) // 900
        for clicks in counted.values()
    ]
    columns = (list(counted), [clicks.clicks for clicks in counted.values()], quarters)
    arrays = ", ".join(f"{parameter(column)}::bigint[]" for column in columns)
    return f"LEFT JOIN unnest({arrays}) AS c (link_id, clicks, quarter) ON c.link_id = l.id"


def _typed(query: LinkQuery) -> object:
    match query.sort:
        case "updated":
            return datetime.fromisoformat(query.after_value)
        case "position" | "clicks" | "last_click":
            return int(query.after_value)
    return query.after_value


def _conditions(query: LinkQuery, parameter: Any) -> list[str]:
    conditions = []
    if query.text:
        pattern = parameter(f"%{_escaped(query.text)}%")
        conditions.append(f"({' OR '.join(f'{name} ILIKE {pattern}' for name in _SEARCHED)})")
    if query.tag:
        tag = parameter(query.tag)
        conditions.append(
            f"EXISTS (SELECT FROM unnest(l.tags) AS tag WHERE lower(tag) = lower({tag}))"
        )
    conditions.extend(
        f"l.{name} = {parameter(value)}"
        for name in ("folder", "kind", "target", "external_id")
        if (value := getattr(query, name))
    )
    if query.hidden is not None:
        conditions.append(f"l.hidden = {parameter(query.hidden)}")
    if query.state:
        conditions.append(_STATES[query.state])
    if query.health:
        conditions.append(f"{_HEALTH} = {parameter(query.health)}")
    return conditions


def _escaped(text: str) -> str:
    """Return text as a pattern of LIKE that finds it as it is."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
