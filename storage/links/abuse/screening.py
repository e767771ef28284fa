"""Screening of links and domains in Postgres, as workers do it."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from engine.links.abuse.screening import LinkKey, ScreenedDomain, ScreenedLink, Verdict
from engine.links.options import NO_OPTIONS, unpack_options
from engine.links.targets.target_policy import targets_of
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("links/abuse/screening")


class PostgresScreeningStore:
    """ScreeningStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def links(
        self, after: LinkKey, limit: int, *, quarantined_only: bool
    ) -> list[ScreenedLink]:
        query = _SQL["quarantined_links" if quarantined_only else "links"]

        async def work(connection: Connection) -> list[ScreenedLink]:
            return [_screened(row) for row in await connection.fetch(query, *after, limit)]

        return await self._database.transaction(work, read_only=True)

    async def quarantine(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        return [verdict for verdict in verdicts if await self._quarantine(verdict)]

    async def _quarantine(self, verdict: Verdict) -> bool:
        async def work(connection: Connection) -> bool:
            values = *verdict.key, verdict.version, verdict.rule, verdict.reason
            return bool(await connection.fetchval(_SQL["quarantine"], *values))

        return await self._database.transaction(work)

    async def domains(self, after: LinkKey, limit: int) -> list[ScreenedDomain]:
        async def work(connection: Connection) -> list[ScreenedDomain]:
            rows = await connection.fetch(_SQL["domains"], *after, limit)
            return [
                ScreenedDomain(
                    row["tenant_id"],
                    row["id"],
                    tuple(row["targets"]),
                    tuple(row["blocked_targets"]),
                )
                for row in rows
            ]

        return await self._database.transaction(work, read_only=True)

    async def block(self, domain: ScreenedDomain, blocked: Sequence[str]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_SQL["block"], domain.tenant_id, domain.id, list(blocked))

        await self._database.transaction(work)


def _screened(row: asyncpg.Record) -> ScreenedLink:
    options = unpack_options(row["options"]) or NO_OPTIONS
    targets = {row["target"], *targets_of(options, row["target"]), *row["variant_targets"]}
    key = LinkKey(row["tenant_id"], row["id"])
    return ScreenedLink(
        key, row["version"], tuple(sorted(targets)), row["rule"], row["reason"], row["reviewed"]
    )
