"""The database's clock, moved forward for one Database: what it calls its day is some days later.

`clock_timestamp()` and `now()` of the schema are found before those of pg_catalog by transactions of that
Database only, whose search_path names both.
"""

from typing import Final

import asyncpg
import trio
import uvloop

from storage.postgres.database import Database

_NAMES: Final = ("clock_timestamp", "now")


class MovedClock:
    """Clock of the database at a URL of its superuser."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_moved = False

    async def move(self, days: int) -> None:
        """Move the clock so many days ahead of the true time."""
        self._is_moved = True
        await trio.to_thread.run_sync(lambda: uvloop.run(self._define(days)))

    async def _define(self, days: int) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            for name in _NAMES:
                await connection.execute(
                    f"CREATE OR REPLACE FUNCTION waypost.{name}() RETURNS timestamptz LANGUAGE sql "
                    f"AS $$ SELECT pg_catalog.{name}() + interval '{days} days' $$; "
                    f"GRANT EXECUTE ON FUNCTION waypost.{name}() TO PUBLIC"
                )
        finally:
            await connection.close()

    def apply(self, database: Database) -> None:
        """Have the transactions of a Database that was just opened see the clock, if it was moved."""
        if self._is_moved:
            begin = database._begin_statement

            def moved(isolation: object) -> str:
                return f"{begin(isolation)};SET LOCAL search_path = waypost, pg_catalog"  # type: ignore[arg-type]

            setattr(database, "_begin_statement", moved)  # noqa: B010
