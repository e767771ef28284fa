"""Synchronisation with GitHub in Postgres, for workers: due links, outcomes, and the lease on requests.

Guarantees:
- one worker enqueues a due link; if no outcome is written, the link is due again ten minutes later;
- of all workers with one token, one sends requests at a time, and none during a pause: both are one row of
  `github_request_lease`, judged by the database's clock;
- an outcome is written only if the link still has the target that it is of. If facts have changed, the
  transaction appends an event for webhooks.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
import msgspec

from engine.github.conversation import RequestPause
from engine.github.repository import RememberedRepository, RepositoryFacts, next_due_at
from engine.github.sync import DueSync, PauseState, RequestLease, SyncOutcome
from engine.webhooks.events import EventDraft, GithubSynced
from storage.github.links import sync_job
from storage.jobs.jobs import enqueue
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.webhooks.outbox import append_to_outbox

SQL: Final = queries.load("github/syncs")


class PostgresGithubSyncQueue:
    """GithubSyncQueue over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue_due(self, limit: int) -> int:
        async def work(connection: Connection) -> int:
            rows = await connection.fetch(SQL["due"], limit)
            for row in rows:
                await enqueue(connection, sync_job(*row))
            return len(rows)

        return await self._database.transaction(work)

    async def begin(self, tenant_id: int, link_id: int) -> DueSync | None:
        async def work(connection: Connection) -> DueSync | None:
            row = await connection.fetchrow(SQL["begin"], tenant_id, link_id)
            if row is None:
                await connection.execute(SQL["forget"], tenant_id, link_id)
                return None
            return DueSync(
                tenant_id,
                link_id,
                row["profile_id"],
                row["target"],
                row["kind"] == "github",
                row["failures"],
                _remembered(row),
            )

        return await self._database.transaction(work)

    async def sibling_outcome(self, work: DueSync, key: str, since: datetime) -> SyncOutcome | None:
        async def look(connection: Connection) -> SyncOutcome | None:
            row = await connection.fetchrow(
                SQL["sibling"], work.tenant_id, work.link_id, key, since
            )
            if row is None:
                return None
            due = next_due_at(work.tenant_id, key, row["tried_at"])
            return SyncOutcome(row["state"], row["reason"], _remembered(row), 0, due)

        return await self._database.transaction(look)

    async def postpone(self, tenant_id: int, link_id: int, pause: PauseState) -> None:
        await self._execute("postpone", tenant_id, link_id, pause.retry_after_s, pause.reason)

    async def forget(self, tenant_id: int, link_id: int) -> None:
        await self._execute("forget", tenant_id, link_id)

    def outcome_writer(
        self, work: DueSync, key: str, outcome: SyncOutcome
    ) -> Callable[[Any], Awaitable[None]]:
        remembered = outcome.remembered
        facts = None if remembered.facts is None else msgspec.json.encode(remembered.facts).decode()

        async def finish(connection: Connection) -> None:
            key_of_row = work.tenant_id, work.link_id, work.target
            is_synced = outcome.state == "synced"
            await connection.execute(SQL["announce_page"], *key_of_row, facts, is_synced)
            written = await connection.execute(
                SQL["finish"],
                *key_of_row,
                key,
                outcome.state,
                outcome.reason,
                outcome.failures,
                facts,
                remembered.etag,
                remembered.release_etag,
                remembered.release_due,
                remembered.named_at,
                outcome.next_at if work.periodic or outcome.will_retry else None,
            )
            if (
                written == "UPDATE 1"
                and remembered.facts
                and remembered.facts != work.remembered.facts
            ):
                await append_to_outbox(connection, [_event(work, remembered.facts)])

        return finish

    async def _execute(self, name: str, *arguments: object) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL[name], *arguments)

        await self._database.transaction(work)


class PostgresGithubRequestLease:
    """GithubRequestLease over a database that was opened as waypost_aggregator, for one API and token."""

    def __init__(self, database: Database, base_url: str, token: str) -> None:
        self._database = database
        self._id = hashlib.sha256(f"{base_url}\n{token}".encode()).hexdigest()

    async def acquire(self, holder: str, ttl_s: float) -> RequestLease | None:
        async def work(connection: Connection) -> RequestLease | None:
            await connection.execute(SQL["create_lease_row"], self._id)
            row = await connection.fetchrow(SQL["acquire_lease"], self._id, _uuid(holder), ttl_s)
            return None if row is None else RequestLease(row["now"], row["in_a_row"])

        return await self._database.transaction(work)

    async def current_pause(self) -> PauseState | None:
        async def work(connection: Connection) -> PauseState | None:
            row = await connection.fetchrow(SQL["paused"], self._id)
            return None if row is None else PauseState(*row)

        return await self._database.transaction(work, read_only=True)

    async def pause(self, pause: RequestPause, consecutive_pauses: int) -> None:
        wait_s = pause.wait.total_seconds()
        await self._execute("pause", wait_s, pause.reason, min(consecutive_pauses, 1000))

    async def reset_pauses(self) -> None:
        await self._execute("reset_pauses")

    async def release(self, holder: str) -> None:
        await self._execute("release_lease", _uuid(holder))

    async def _execute(self, name: str, *arguments: object) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL[name], self._id, *arguments)

        await self._database.transaction(work)


def _event(work: DueSync, facts: RepositoryFacts) -> EventDraft:
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


def _remembered(row: asyncpg.Record) -> RememberedRepository:
    return RememberedRepository(
        facts=None
        if row["facts"] is None
        else msgspec.json.decode(row["facts"], type=RepositoryFacts),
        etag=row["etag"],
        release_etag=row["release_etag"],
        release_due=row["release_due"],
        named_at=row["named_at"],
    )
