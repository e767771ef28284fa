"""Dimensions of conversions: copied from the raw click, by which statistics count them.

A conversion may be reported before its click is folded, so the click is looked for again until it is there; raw
clicks may be deleted later, so what they say is copied. Raw clicks have no index but their time, so that
conversions are looked for together, those of an hour at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from engine.clicks.dimension import TEXT_COLUMNS, Dimension
from engine.clicks.record_items import unpack_variant_refs
from engine.stats.dimension_counts import variant
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("experiments/conversion_dimensions")
AT_ONCE: Final = 1_000
LOOK_FOR_DAYS: Final = 3
_COLUMNS: Final = ", ".join(f"c.{column}" for column in TEXT_COLUMNS)
_VARIANT: Final = Dimension.VARIANT.name.lower()


class CopiedDimensions(NamedTuple):
    """How many conversions got the dimensions of their click, and how many will get none."""

    copied: int
    given_up: int


class _DueConversion(NamedTuple):
    tenant_id: int
    click: bytes
    name: str
    order_id: str
    link_id: int
    clicked_at: datetime
    visitor: int | None

    @property
    def key(self) -> tuple[int, bytes, str, str]:
        return self[:4]


class PostgresConversionDimensions:
    """Dimensions of conversions over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def copy_due(self, limit: int = AT_ONCE) -> CopiedDimensions:
        """Copy the dimensions of at most `limit` conversions whose click is to be looked for."""

        async def work(connection: Connection) -> CopiedDimensions:
            due = [_DueConversion(*row) for row in await connection.fetch(_SQL["due"], limit)]
            hours: defaultdict[datetime, list[_DueConversion]] = defaultdict(list)
            for conversion in due:
                hour = conversion.clicked_at.replace(minute=0, second=0, microsecond=0)
                hours[hour].append(conversion)
            copied = 0
            given_up = 0
            for conversions in hours.values():
                results = await _copy(connection, conversions)
                copied += results.copied
                given_up += results.given_up
            return CopiedDimensions(copied, given_up)

        return await self._database.transaction(work)


async def _copy(connection: Connection, conversions: Sequence[_DueConversion]) -> CopiedDimensions:
    times = [conversion.clicked_at for conversion in conversions]
    rows = await connection.fetch(
        _SQL["clicks"].format(columns=_COLUMNS),
        min(times),
        max(times),
        list(range(len(conversions))),
        [conversion.tenant_id for conversion in conversions],
        [conversion.link_id for conversion in conversions],
        times,
        [conversion.visitor for conversion in conversions],
    )
    found = {row["number"]: msgspec.json.encode(dimensions_of(row)).decode() for row in rows}
    copies = [(*conversions[number].key, text) for number, text in found.items()]
    if copies:
        await connection.execute(_SQL["copy"], *_arrays(copies, 5))
    missing = [
        conversion.key for number, conversion in enumerate(conversions) if number not in found
    ]
    if not missing:
        return CopiedDimensions(len(copies), 0)
    waits = await connection.fetch(_SQL["wait"], *_arrays(missing, 4), LOOK_FOR_DAYS)
    return CopiedDimensions(len(copies), sum(row[0] for row in waits))


def dimensions_of(row: Any) -> dict[str, str | list[str]]:
    """Return the known dimensions of a raw click, by the API's names; `variant` is a list."""
    dimensions: dict[str, str | list[str]] = {
        dimension.name.lower(): row[column]
        for column, dimension in TEXT_COLUMNS.items()
        if row[column]
    }
    dimensions["kind"] = row["kind"]
    dimensions["trigger"] = row["trigger"]
    references = [
        *unpack_variant_refs(row["exposures"] or b""),
        *unpack_variant_refs(row["outcomes"] or b""),
    ]
    if references:
        dimensions[_VARIANT] = list(dict.fromkeys(variant(each) for each in references))
    return dimensions


def _arrays(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    return [[row[column] for row in rows] for column in range(width)]
