"""Synchronisations of links in Postgres, for members.

A member's request enqueues the job in its own transaction, under the link's lock. So of concurrent requests one
succeeds, and the others raise ConflictError because the job is queued.
"""

from typing import Final

import msgspec

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.github.repository import LinkSync
from engine.github.sync import SYNC_KIND, SYNC_QUEUE, require_sync_allowed
from engine.jobs.job import Job, JobDraft
from storage.accounts.access import enter_link
from storage.jobs.jobs import enqueue, job_of
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("github/github")


class PostgresLinkSyncStore:
    """LinkSyncStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        async def work(connection: Connection) -> LinkSync | None:
            access = await enter_link(connection, caller, link_id, Action.READ)
            target = await connection.fetchval(SQL["target"], access.tenant_id, link_id)
            row = await connection.fetchrow(SQL["sync"], access.tenant_id, link_id, target)
            return None if row is None else _sync(row["sync"])

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def request_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        async def work(connection: Connection) -> tuple[LinkSync, Job]:
            access = await enter_link(connection, caller, link_id, Action.EDIT)
            target = await connection.fetchval(SQL["lock_target"], access.tenant_id, link_id)
            if target is None:
                raise NotFoundError.of("link")
            job = await enqueue(connection, sync_job(access.tenant_id, access.profile_id, link_id))
            row = await connection.fetchrow(SQL["sync"], access.tenant_id, link_id, target)
            if row is None:  # or the stored state is of another target
                await connection.execute(SQL["stop_sync"], access.tenant_id, link_id)
            else:
                require_sync_allowed(_sync(row["sync"]).state, row["asked_s"], job.created)
            sync_json = await connection.fetchval(
                SQL["request_sync"], access.tenant_id, link_id, target
            )
            row = await connection.fetchrow(SQL["job"], access.tenant_id, job.job_id)
            assert row is not None
            return _sync(sync_json), job_of(row)

        return await self._database.transaction(work, caller=caller)


def sync_job(tenant_id: int, profile_id: int, link_id: int) -> JobDraft:
    return JobDraft(
        kind=SYNC_KIND,
        queue=SYNC_QUEUE,
        payload={"link_id": str(link_id)},
        unique_key=str(link_id),
        tenant_id=tenant_id,
        profile_id=profile_id,
    )


def _sync(sync_json: str) -> LinkSync:
    return msgspec.json.decode(sync_json, type=LinkSync)
