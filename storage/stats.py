"""Statistics from the rollups, as the console asks for them.

Postgres sums 15-minute buckets by the zone's clock or calendar, so totals are exact on days of 23
and 25 hours too; `engine.calendar` says at which moment such an interval starts. Rows and `as_of`
come from one snapshot, under the tenant's row-level security. Postgres ends a query at its time
limit.
"""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import asyncpg

from engine import calendar
from engine.access import Caller
from engine.errors import FieldError, InvalidError
from engine.rollup import Stats, StatsQuery, StatsRow
from storage import sql
from storage.postgres import Connection, Database

_SQL: Final = sql.load("stats")


class PostgresStatsReader:
    """`StatsReader` on Postgres, for the app's role."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Raises InvalidError for an unknown time zone."""
        tz = calendar.zone(query.tz)
        name, values = _statement(tenant_id, profile_id, query)

        async def work(connection: Connection) -> Stats:
            rows = await connection.fetch(_SQL[name], *values)
            as_of = await connection.fetchval(_SQL["as_of"])
            return Stats(
                rows=tuple(StatsRow(_start(name, row[0], tz), *row[1:]) for row in rows),
                as_of=as_of,
            )

        try:
            return await self._database.run(work, caller=Caller(tenant_id, 0), read_only=True)
        except asyncpg.InvalidParameterValueError:
            raise InvalidError([FieldError("tz", "is not known to the database")]) from None


def _statement(tenant_id: int, profile_id: int, query: StatsQuery) -> tuple[str, list[Any]]:
    values: list[Any] = [tenant_id, profile_id, query.start, query.end, query.link_id]
    if query.interval == "15m":
        return "buckets", values
    values.append(query.tz)
    if query.interval == "hour":
        return "hours", values
    return "dates", [*values, query.interval]


def _start(name: str, value: datetime, tz: ZoneInfo) -> datetime:
    if name == "buckets":
        return value.astimezone(tz)
    return calendar.hour_start(value, tz) if name == "hours" else calendar.midnight(value, tz)
