"""SQL of the statements of a stats plan (engine/stats/plan.py). All values are parameters."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from engine.stats.packed.column_sums import ColumnSums, ascii_lower
from engine.stats.plan import CountsStatement, RowKind
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


class ProfileKey(NamedTuple):
    """The key of a profile's rows."""

    tenant_id: int
    profile_id: int


def counts(
    profile: ProfileKey, statement: CountsStatement, packed: Iterable[ColumnSums]
) -> tuple[str, list[Any]]:
    """Return the query that sums stored counts and the sums of packed clicks, and its parameters."""
    rows = tuple(_ROWS[kind] for kind in statement.kinds)
    order = _order(statement.order, statement.descending)
    text = _text(_SQL["counts"], rows, statement.by_link, statement.by_value, order)
    return queries.bind(text, _values(profile, statement) | _packed(packed))


def _packed(sums: Iterable[ColumnSums]) -> dict[str, list[Any]]:
    names = ("links", "values", "rows", "clicks", "views", "bots")
    columns: list[list[Any]] = [[] for _ in names]
    for part in sums:
        for number, column in enumerate(columns):
            column.extend(part[number])
    return {f"packed_{name}": column for name, column in zip(names, columns, strict=True)}


def sketches(profile: ProfileKey, statement: CountsStatement) -> tuple[str, list[Any]]:
    """Return the query that collects visitors' sketches, and its parameters."""
    rows = [_SQL["live_sketches"]]
    if statement.sketches is not None and statement.sketches.ranges:
        rows.append(_SQL["quarter_sketches"])
    text = _text(_SQL["sketches"], tuple(rows), statement.by_link, statement.by_value, "")
    return queries.bind(text, _values(profile, statement))


@lru_cache(256)
def _text(query: str, rows: tuple[str, ...], by_link: bool, by_value: bool, order: str) -> str:
    return query.format(
        rows="\n    UNION ALL\n".join(rows),
        passes=_SQL["passes"],
        link="link_id" if by_link else "NULL::bigint",
        value="stored.value" if by_value else "NULL::text",
        order=order,
    )


def _order(order: str, descending: bool) -> str:
    direction = "DESC" if descending else "ASC"
    if order == "value":
        return f"2 {direction}, 1 {direction}"
    # Groups without a rate come last either way.
    return f"{_ORDERS[order]} {direction} NULLS LAST" if order else "3"


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


def _filter_values(statement: CountsStatement) -> dict[str, Any]:
    """Return the parameters of the query `passes`; None: no such condition."""
    values = statement.values
    if values is None:
        values = _operands(statement.filters, "=")
    parts = _operands(statement.filters, "~=")
    return {
        "values": values,
        "unequal": _operands(statement.filters, "!="),
        "contained": None if parts is None else [ascii_lower(part) for part in parts],
    }


def _operands(filters: Iterable[Filter], operator: str) -> tuple[str, ...] | None:
    return tuple(filter_.value for filter_ in filters if filter_.operator == operator) or None
