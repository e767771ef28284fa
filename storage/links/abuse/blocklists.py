"""Copies of blocklists in Postgres, compressed."""

import zlib
from collections.abc import Sequence
from typing import Final

from engine.links.abuse.fetched_list import MAX_LIST_BYTES, Fetched, ListState
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("links/abuse/blocklists")
MAX_REASON_CHARS: Final = 500


class PostgresBlocklists:
    """ListStore over a database that was opened as waypost_aggregator, or for reading as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def states(self, urls: Sequence[str]) -> dict[str, ListState]:
        async def work(connection: Connection) -> dict[str, ListState]:
            rows = await connection.fetch(_SQL["states"], list(urls))
            return {row["url"]: ListState(*row) for row in rows}

        return await self._database.transaction(work, read_only=True)

    async def body(self, url: str) -> bytes:
        async def work(connection: Connection) -> bytes:
            return await connection.fetchval(_SQL["body"], url) or b""

        body = await self._database.transaction(work, read_only=True)
        return zlib.decompressobj().decompress(body, MAX_LIST_BYTES) if body else b""

    async def record(self, url: str, fetched: Fetched) -> None:
        async def work(connection: Connection) -> None:
            if fetched.outcome == "new":
                body = zlib.compress(fetched.body)
                await connection.execute(_SQL["replace"], url, fetched.tag, body)
            elif fetched.outcome == "unchanged":
                await connection.execute(_SQL["confirm"], url)
            else:
                await connection.execute(_SQL["fail"], url, fetched.reason[:MAX_REASON_CHARS])

        await self._database.transaction(work)

    async def forget(self, urls: Sequence[str]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["forget"], list(urls))

        await self._database.transaction(work)
