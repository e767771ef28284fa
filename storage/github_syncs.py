"""Synchronisation with GitHub in Postgres, as workers see it: what is due, whose turn it is.

Guarantees:
- a link that is due is enqueued by one worker, and again ten minutes later should nothing have come of it;
- of all workers with one token, one sends at a time, and none before a pause has passed: both are one
  row of `github_limits`, judged by the database's clock;
- what is written down was learned of the target that the link still has; where it is news, webhooks hear of it.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
import msgspec

from engine.event import EventDraft, GithubSynced
from engine.github import Pause
from engine.github_sync import Paused, Settled, SyncWork, Turn
from engine.repository import Facts, Known, next_slot
from storage import sql
from storage.events import emit
from storage.github_links import sync_job
from storage.jobs import enqueue
from storage.postgres import Connection, Database

SQL: Final = sql.load("github_syncs")


class PostgresGithubSyncs:
    """GithubSyncs over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue_due(self, limit: int) -> int:
        async def work(connection: Connection) -> int:
            rows = await connection.fetch(SQL["due"], limit)
            for row in rows:
                await enqueue(connection, sync_job(*row))
            return len(rows)

        return await self._database.run(work)

    async def begin(self, tenant_id: int, link_id: int) -> SyncWork | None:
        async def work(connection: Connection) -> SyncWork | None:
            row = await connection.fetchrow(SQL["begin"], tenant_id, link_id)
            if row is None:
                await connection.execute(SQL["forget"], tenant_id, link_id)
                return None
            return SyncWork(
                tenant_id,
                link_id,
                row["profile_id"],
                row["target"],
                row["kind"] == "github",
                row["failures"],
                _known(row),
            )

        return await self._database.run(work)

    async def sibling(self, work: SyncWork, key: str, since: datetime) -> Settled | None:
        async def look(connection: Connection) -> Settled | None:
            row = await connection.fetchrow(
                SQL["sibling"], work.tenant_id, work.link_id, key, since
            )
            if row is None:
                return None
            due = next_slot(work.tenant_id, key, row["tried_at"])
            return Settled(row["state"], row["reason"], _known(row), 0, due)

        return await self._database.run(look)

    async def postpone(self, tenant_id: int, link_id: int, paused: Paused) -> None:
        await self._execute("postpone", tenant_id, link_id, paused.wait_s, paused.reason)

    async def forget(self, tenant_id: int, link_id: int) -> None:
        await self._execute("forget", tenant_id, link_id)

    def finishing(
        self, work: SyncWork, key: str, settled: Settled
    ) -> Callable[[Any], Awaitable[None]]:
        known = settled.known

        async def finish(connection: Connection) -> None:
            written = await connection.execute(
                SQL["finish"],
                work.tenant_id,
                work.link_id,
                work.target,
                key,
                settled.state,
                settled.reason,
                settled.failures,
                None if known.facts is None else msgspec.json.encode(known.facts).decode(),
                known.etag,
                known.release_etag,
                known.release_due,
                known.named_at,
                settled.next_at if work.kept or settled.soon else None,
            )
            if written == "UPDATE 1" and known.facts and known.facts != work.known.facts:
                await emit(connection, [_event(work, known.facts)])

        return finish

    async def _execute(self, name: str, *arguments: object) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL[name], *arguments)

        await self._database.run(work)


class PostgresGithubTurns:
    """GithubTurns over the same, for one API and token."""

    def __init__(self, database: Database, base_url: str, token: str) -> None:
        self._database = database
        self._id = hashlib.sha256(f"{base_url}\n{token}".encode()).hexdigest()

    async def take(self, holder: str, ttl_s: float) -> Turn | None:
        async def work(connection: Connection) -> Turn | None:
            await connection.execute(SQL["know_limits"], self._id)
            row = await connection.fetchrow(SQL["take_turn"], self._id, _uuid(holder), ttl_s)
            return None if row is None else Turn(row["now"], row["in_a_row"])

        return await self._database.run(work)

    async def paused(self) -> Paused | None:
        async def work(connection: Connection) -> Paused | None:
            row = await connection.fetchrow(SQL["paused"], self._id)
            return None if row is None else Paused(*row)

        return await self._database.run(work, read_only=True)

    async def pause(self, pause: Pause, in_a_row: int) -> None:
        wait_s = pause.wait.total_seconds()
        await self._execute("pause", wait_s, pause.reason, min(in_a_row, 1000))

    async def calm(self) -> None:
        await self._execute("calm")

    async def give(self, holder: str) -> None:
        await self._execute("give_turn", _uuid(holder))

    async def _execute(self, name: str, *arguments: object) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL[name], self._id, *arguments)

        await self._database.run(work)


def _event(work: SyncWork, facts: Facts) -> EventDraft:
    data = GithubSynced(
        profile_id=str(work.profile_id),
        link_id=str(work.link_id),
        repository=facts.full_name,
        stars=facts.stars,
        forks=facts.forks,
        language=facts.language,
        archived=facts.archived,
    )
    return EventDraft(work.tenant_id, work.profile_id, "github.synced", data)


def _uuid(holder: str) -> UUID:
    return uuid5(NAMESPACE_OID, holder)


def _known(row: asyncpg.Record) -> Known:
    return Known(
        facts=None if row["facts"] is None else msgspec.json.decode(row["facts"], type=Facts),
        etag=row["etag"],
        release_etag=row["release_etag"],
        release_due=row["release_due"],
        named_at=row["named_at"],
    )
