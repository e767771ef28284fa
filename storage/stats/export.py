"""The export of a profile's raw clicks, read by a cursor from one database snapshot in bounded memory."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any, Final

from engine.accounts.access import Caller
from engine.clicks.dimension import TEXT_COLUMNS
from storage.postgres import queries
from storage.postgres.database import Database

_SQL: Final = queries.load("stats/stats")
_EXPORT: Final = _SQL["export"].format(texts=", ".join(TEXT_COLUMNS))


class PostgresClickExport:
    """ClickExport over a database that was opened as waypost_app. Each export holds a connection; callers bound
    their number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        async with self._database.snapshot(Caller(tenant_id, 0)) as snapshot:
            async for rows in snapshot.rows(_EXPORT, tenant_id, profile_id, start, end):
                yield [tuple(row) for row in rows]
