"""SQL of the statements of a stats plan (engine/stats/plan.py). All values are parameters."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from engine.stats.packed.column_sums import ColumnSums, ascii_lower
from engine.stats.parameters.filter_values import CASELESS
from engine.stats.plan import CountsStatement, RowKind
from engine.stats.ports import ProfileKey
from engine.stats.query import Filter
from storage.postgres import queries

_SQL: Final = queries.load("stats/stats")
_ROWS: Final = {
    RowKind.ROLLUPS: _SQL["rollups"],
    RowKind.LIVE_DIMENSIONS: _SQL["live_dimensions"],
    RowKind.MONTHS: _SQL["months"],
    RowKind.DAYS: _SQL["days"],
    RowKind.DAY_PARTS: _SQL["day_parts"],
    RowKind.QUARTERS: _SQL["quarters"],
}
_ORDERS: Final = {
    "clicks": "sum(clicks)",
    "views": "sum(views)",
    "bots": "sum(bots)",
    "visitors": "sum(visitors)",
    "click_rate": "sum(clicks) / nullif(sum(views), 0)",
}


_VALUE: Final = "coalesce(value, '') COLLATE \"C\""
_LINK: Final = "coalesce(link::text, '') COLLATE \"C\""
_LAST: Final = {"click_rate": ":after_clicks::numeric / nullif(:after_views::numeric, 0)"}


def counts(
    profile: ProfileKey, statement: CountsStatement, packed: Iterable[ColumnSums]
) -> tuple[str, list[Any]]:
    """Return the query that sums stored counts and the sums of packed clicks, and its parameters."""
    rows = tuple(_ROWS[kind] for kind in statement.kinds)
    order = _order(statement.order, statement.descending)
    after = _after(statement.order, statement.descending) if statement.after else ""
    text = _text(_SQL["counts"], rows, statement, order, after)
    return queries.bind(text, _values(profile, statement) | _packed(packed))


def _packed(sums: Iterable[ColumnSums]) -> dict[str, list[Any]]:
    names = ("links", "values", "rows", "clicks", "views", "bots")
    columns: list[list[Any]] = [[] for _ in names]
    for part in sums:
        for number, column in enumerate(columns):
            column.extend(part[number])
    return {f"packed_{name}": column for name, column in zip(names, columns, strict=True)}


def live_sketches(profile: ProfileKey, statement: CountsStatement) -> tuple[str, list[Any]]:
    """Return the query that reads visitors' sketches of days that are not compacted, and its parameters.

    Equal parameters mean equal sketches: they do not depend on the rows of the answer.
    """
    text = _text(_SQL["live_sketches"], (), statement)
    return queries.bind(text, _values(profile, statement))


def quarter_sketches(profile: ProfileKey, statement: CountsStatement) -> tuple[str, list[Any]]:
    """Return the query that reads the statement's ranges of sketches of compacted days, and its parameters."""
    text = _text(_SQL["quarter_sketches"], (), statement)
    return queries.bind(text, _values(profile, statement))


def _text(
    query: str, rows: tuple[str, ...], statement: CountsStatement, order: str = "", after: str = ""
) -> str:
    # Values of groups are as they are stored, those of filters are not.
    caseless = statement.values is None and statement.dimension in CASELESS
    return _filled(query, rows, statement.by_link, statement.by_value, caseless, order, after)


@lru_cache(256)
def _filled(
    query: str, rows: tuple[str, ...], by_link: bool, by_value: bool, caseless: bool, order: str,
    after: str,
) -> str:  # fmt: skip
    return query.format(
        rows="\n    UNION ALL\n".join(rows),
        passes=_SQL["passes"].format(operand="lower(stored.value)" if caseless else "stored.value"),
        link="link_id" if by_link else "NULL::bigint",
        value="stored.value" if by_value else "NULL::text",
        order=order,
        after=after,
    )


def _order(order: str, descending: bool) -> str:
    """Return the order of sums, as engine/stats/ordering.py has it."""
    direction = "DESC" if descending else "ASC"
    if order == "value":
        return f"{_VALUE} {direction}, {_LINK} {direction}"
    # Groups without a rate come last either way.
    return f"{_ORDERS[order]} {direction} NULLS LAST, {_VALUE}, {_LINK}" if order else "3, 2, 1"


@lru_cache(64)
def _after(order: str, descending: bool) -> str:
    """Return the condition that a group comes behind the cursor's."""
    sign = "<" if descending else ">"
    if order == "value":
        return f"AND ({_VALUE}, {_LINK}) {sign} (:after_value, :after_link)"
    number = _ORDERS[order]
    return _SQL["after"].format(
        number=number,
        last=_LAST.get(order, f":after_{order}::numeric"),
        sign=sign,
        value=_VALUE,
        link=_LINK,
    )


def _values(profile: ProfileKey, statement: CountsStatement) -> dict[str, Any]:
    split, ranges = statement.split, statement.sketches.ranges if statement.sketches else ()
    return {
        **profile._asdict(),
        "links": statement.links,
        "dimension": int(statement.dimension),
        "from": split.starts[0],
        "to": split.end,
        "starts": split.starts,
        "limit": statement.limit,
        **_filter_values(statement),
        **_after_values(statement),
        "month_firsts": [months.first for months in split.months],
        "month_ends": [months.end for months in split.months],
        "day_firsts": [days.first for days in split.days],
        "day_ends": [days.end for days in split.days],
        "part_days": [part.day for part in split.parts],
        "part_firsts": [part.first for part in split.parts],
        "part_ends": [part.end for part in split.parts],
        "part_rows": [part.row for part in split.parts],
        "sketch_days": [quarters.day for quarters in ranges],
        "sketch_firsts": [quarters.first for quarters in ranges],
        "sketch_ends": [quarters.end for quarters in ranges],
    }


def _after_values(statement: CountsStatement) -> dict[str, Any]:
    """Return the parameters of the condition of a cursor."""
    cursor = statement.after
    if cursor is None:
        return {}
    value, link = statement.last
    counts = {name: getattr(cursor, name) for name in ("clicks", "views", "bots")}
    return {"after_value": value, "after_link": link} | {
        f"after_{name}": count for name, count in counts.items()
    }


def _filter_values(statement: CountsStatement) -> dict[str, Any]:
    """Return the parameters of the query `passes`; None: no such condition."""
    if statement.values is not None:  # of groups, which pass the filters
        return dict.fromkeys(("unequal", "contained", "contained_by")) | {
            "values": statement.values
        }
    lower = ascii_lower if statement.dimension in CASELESS else str
    searches = [filter_.values for filter_ in statement.filters if filter_.operator == "~="]
    return {
        "values": _operands(statement.filters, "=", lower),
        "unequal": _operands(statement.filters, "!=", lower),
        "contained": [ascii_lower(part) for parts in searches for part in parts] or None,
        "contained_by": [number for number, parts in enumerate(searches) for _ in parts],
    }


def _operands(
    filters: Iterable[Filter], operator: str, lower: Callable[[str], str]
) -> tuple[str, ...] | None:
    values = (
        lower(value)
        for filter_ in filters
        if filter_.operator == operator
        for value in filter_.values
    )
    return tuple(values) or None
