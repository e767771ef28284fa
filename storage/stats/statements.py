"""SQL of the statements of a stats plan (engine/stats/plan.py). All values are parameters."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from engine.clicks.dimension import TEXT_COLUMNS, Dimension
from engine.stats.plan import CountsStatement, RawClicksPlan, RowKind
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


def counts(profile: ProfileKey, statement: CountsStatement) -> tuple[str, list[Any]]:
    """Return the query that sums counts, and its parameters."""
    rows = tuple(_ROWS[kind] for kind in statement.kinds)
    order = _order(statement.order, statement.descending)
    text = _text(_SQL["counts"], rows, statement.by_link, statement.by_value, order)
    return queries.bind(text, _values(profile, statement))


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


_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def ascii_lower(text: str) -> str:
    """Return the text as Postgres' lower() in the collation C makes it."""
    return text.translate(_LOWER)


# SQL expressions of a raw click's values. There is none of VARIANT: a click can have more than one.
_COLUMNS: Final = {
    **{dimension: f"coalesce({column}, '')" for column, dimension in TEXT_COLUMNS.items()},
    Dimension.TRIGGER: "trigger_name(trigger)",
    Dimension.KIND: "visitor_kind(classification)",
    Dimension.LINK: "link_id::text",
}
_CONDITIONS: Final = {
    "=": "{column} = {operand}",
    "!=": "{column} <> {operand}",
    "~=": 'strpos(lower({column} COLLATE "C"), lower({operand} COLLATE "C")) > 0',
}


def crossable(profile: ProfileKey, plan: RawClicksPlan) -> tuple[str, list[Any]]:
    """Return the query that tells whether raw clicks can answer, and its parameters."""
    values = {"from": plan.starts[0], "to": plan.end, "link": plan.link}
    return queries.bind(_SQL["crossable"], profile._asdict() | values)


def crossed(profile: ProfileKey, plan: RawClicksPlan, limit: int) -> tuple[str, list[Any]]:
    """Return the query that sums raw clicks, and its parameters; it returns at most `limit` rows."""
    first, second = (*(_COLUMNS[dimension] for dimension in plan.groups), "''::text", "''::text")[
        :2
    ]
    operands = {f"operand{number}": f.value for number, f in enumerate(plan.filters)}
    conditions = (
        _CONDITIONS[f.operator].format(column=_COLUMNS[f.dimension], operand=f":{name}")
        for name, f in zip(operands, plan.filters, strict=True)
    )
    text = _SQL["crossed"].format(
        first=first,
        second=second,
        row="width_bucket(at, :starts::timestamptz[])" if len(plan.starts) > 1 else "1",
        # Pseudonyms change with the UTC day, so visitors are counted by day.
        day="date_bin('1 day', at, 'epoch')" if plan.visitors else "NULL",
        visitor="visitor" if plan.visitors else "NULL",
        filters="".join(f"\n    AND {condition}" for condition in conditions),
    )
    values = {"from": plan.starts[0], "to": plan.end, "starts": plan.starts, "limit": limit}
    return queries.bind(text, profile._asdict() | values | operands)
