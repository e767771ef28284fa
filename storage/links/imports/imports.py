"""Imports of files in Postgres, for members and for workers.

A file is kept as chunks, so any machine's worker can read it. An import's steps carry the number of its job's
attempt: an attempt that lost its lease writes neither counts nor, as both are in one transaction, links.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.common.errors import ConflictError, NotFoundError, StaleLeaseError, TooSoonError
from engine.common.list_page import ListPage
from engine.jobs.handler import repeatable
from engine.jobs.job import Job, JobDraft, SnoozeError, storable_error
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.imports.link_import import (
    IMPORT_KIND,
    IMPORT_QUEUE,
    MAX_KEPT_REJECTS,
    MAX_OPEN_IMPORTS,
    ImportEnd,
    ImportStep,
    ImportTask,
    ImportWishes,
    LinkImport,
    RowCounts,
    caller_of,
    import_error,
    import_payload,
    import_state,
)
from engine.links.imports.row_error import RowReject
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.jobs.jobs import enqueue
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("links/imports/imports")
RETRY_AFTER_S: Final = 10.0
WAIT_S: Final = 2.0
MAX_ATTEMPTS: Final = 5


class PostgresImportStore:
    """ImportStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, caller: Caller, profile_id: int, wishes: ImportWishes) -> LinkImport:
        async def work(connection: Connection) -> LinkImport:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            await connection.execute(SQL["lock_tenant"], access.tenant_id)
            if await connection.fetchval(SQL["count_open"], access.tenant_id) >= MAX_OPEN_IMPORTS:
                raise too_many_open()
            row = await connection.fetchrow(
                SQL["begin"], access.tenant_id, profile_id, msgspec.json.encode(wishes).decode()
            )
            assert row is not None
            return LinkImport(
                tenant_id=access.tenant_id,
                id=row["id"],
                profile_id=profile_id,
                wishes=wishes,
                created_at=row["created_at"],
            )

        return await self._database.transaction(work, caller=caller)

    async def add_chunk(
        self, caller: Caller, link_import: LinkImport, number: int, data: bytes
    ) -> None:
        await self._execute(caller, link_import, "add_chunk", number, data)

    async def discard(self, caller: Caller, link_import: LinkImport) -> None:
        await self._execute(caller, link_import, "discard")

    async def start(
        self, caller: Caller, link_import: LinkImport, *, size: int, chunks: int
    ) -> LinkImport:
        tenant_id, import_id = link_import.tenant_id, link_import.id

        async def work(connection: Connection) -> None:
            await enter_profile(connection, caller, link_import.profile_id, Action.EDIT)
            draft = import_job(link_import, caller)
            job = await enqueue(connection, draft)
            started = await connection.execute(
                SQL["start"], tenant_id, import_id, job.job_id, size, chunks
            )
            if started != "UPDATE 1":
                raise NotFoundError.of("import")

        await self._database.transaction(work, caller=caller)
        return msgspec.structs.replace(link_import, size=size, chunks=chunks)

    async def _execute(
        self, caller: Caller, link_import: LinkImport, name: str, *arguments: object
    ) -> None:
        async def work(connection: Connection) -> None:
            await enter_profile(connection, caller, link_import.profile_id, Action.EDIT)
            await connection.execute(SQL[name], link_import.tenant_id, link_import.id, *arguments)

        try:
            await self._database.transaction(work, caller=caller)
        except asyncpg.ForeignKeyViolationError:
            raise NotFoundError.of("import") from None

    async def link_import(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport:
        async def work(connection: Connection) -> LinkImport:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            return await _read(connection, access.tenant_id, profile_id, import_id)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def list_imports(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                SQL["list"], access.tenant_id, profile_id, before or MAX_ID, limit + 1
            )
            return ListPage.of([_import_of(row) for row in rows], limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def list_rejects(
        self, caller: Caller, profile_id: int, import_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            await _read(connection, access.tenant_id, profile_id, import_id)
            rows = await connection.fetch(
                SQL["list_rejects"], access.tenant_id, import_id, min(after, 2**31 - 1), limit + 1
            )
            return ListPage.of([RowReject(*row) for row in rows], limit, "line")

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def cancel(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport:
        async def work(connection: Connection) -> LinkImport:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            tenant_id = access.tenant_id
            await _read(connection, tenant_id, profile_id, import_id)
            state = await connection.fetchval(SQL["cancel"], tenant_id, profile_id, import_id)
            if state is None:
                raise ended()
            if state == "cancelled":  # of a running one the worker still reads
                await connection.execute(SQL["delete_chunks"], tenant_id, import_id)
            return await _read(connection, tenant_id, profile_id, import_id)

        return await self._database.transaction(work, caller=caller)


class PostgresImportSpool:
    """ImportSpool over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, job: Job) -> ImportTask | None:
        tenant_id, import_id = job.tenant_id, int(job.payload["import_id"])
        caller = caller_of(tenant_id, dict(job.payload))

        async def work(connection: Connection) -> ImportTask | None:
            assert job.profile_id is not None
            try:
                await enter_profile(connection, caller, job.profile_id, Action.EDIT)
            except NotFoundError:
                return None
            if await connection.fetchval(SQL["earlier_runs"], tenant_id, job.id, IMPORT_KIND):
                raise SnoozeError(WAIT_S, "an earlier import of the tenant runs")
            row = await connection.fetchrow(SQL["of_job"], tenant_id, import_id)
            if row is None:
                return None
            dry_run = _wishes_of(row).dry_run
            opened = await connection.execute(
                SQL["open"], tenant_id, import_id, job.attempt, dry_run
            )
            if opened != "UPDATE 1":
                raise stale(job.id)
            if dry_run:
                await connection.execute(SQL["delete_rejects"], tenant_id, import_id)
            row = await connection.fetchrow(SQL["of_job"], tenant_id, import_id)
            assert row is not None
            lines = await connection.fetch(SQL["rejected_lines"], tenant_id, import_id)
            rejected = frozenset(line["line"] for line in lines)
            return ImportTask(_import_of(row), caller, row["handle"], job.attempt, rejected)

        return await self._database.transaction(work, caller=caller)

    async def chunk(self, task: ImportTask, number: int) -> bytes | None:
        async def work(connection: Connection) -> bytes | None:
            data: bytes | None = await connection.fetchval(
                SQL["chunk"], task.link_import.tenant_id, task.link_import.id, number
            )
            return data

        return await self._database.transaction(work, caller=task.caller, read_only=True)

    async def write_step(self, connection: Any, task: ImportTask, step: ImportStep) -> None:
        key = task.link_import.tenant_id, task.link_import.id
        written = await connection.execute(
            SQL["write_step"], *key, task.attempt, *step.counts, step.line, step.total
        )
        if written != "UPDATE 1":
            raise stale(task.link_import.id)
        if step.rejects:
            lines, reasons, first_lines = zip(*step.rejects, strict=True)
            texts = [storable_error(reason) for reason in reasons]
            await connection.execute(
                SQL["add_rejects"], *key, lines, texts, first_lines, MAX_KEPT_REJECTS
            )

    async def save_step(self, task: ImportTask, step: ImportStep) -> None:
        async def work(connection: Connection) -> None:
            await self.write_step(connection, task, step)

        await self._database.transaction(work, caller=task.caller)

    def end_writer(self, job: Job, end: ImportEnd) -> Callable[[Any], Awaitable[None]]:
        key = job.tenant_id, int(job.payload["import_id"])

        async def work(connection: Connection) -> None:
            error = storable_error(end.error)
            unread = [storable_error(name) for name in end.unread]
            await connection.execute(SQL["end"], *key, unread, error)
            await connection.execute(SQL["delete_chunks"], *key)

        return work


class ImportSweep:
    """Deletion of files of imports that nobody carries out, over a database opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "imports.sweep",
                Every(10 * MINUTE),
                "delete files of imports that were cancelled, given up or not sent whole",
                repeatable(self.sweep),
            )
        ]

    async def sweep(self) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL["sweep_files"])
            await connection.execute(SQL["sweep_unsent"])

        await self._database.transaction(work)


def import_job(link_import: LinkImport, caller: Caller) -> JobDraft:
    """Return the job that carries out an import."""
    return JobDraft(
        kind=IMPORT_KIND,
        queue=IMPORT_QUEUE,
        payload=import_payload(link_import, caller),
        max_attempts=MAX_ATTEMPTS,
        tenant_id=link_import.tenant_id,
        profile_id=link_import.profile_id,
    )


def too_many_open() -> TooSoonError:
    return TooSoonError(
        f"{MAX_OPEN_IMPORTS} imports of this tenant have not ended; try again when one has",
        RETRY_AFTER_S,
    )


def ended() -> ConflictError:
    return ConflictError("state", "an import that has ended cannot be cancelled")


def stale(import_id: int) -> StaleLeaseError:
    return StaleLeaseError(f"import {import_id} is carried out by another attempt, or is gone")


async def _read(
    connection: Connection, tenant_id: int, profile_id: int, import_id: int
) -> LinkImport:
    row = await connection.fetchrow(
        SQL["import"], tenant_id, profile_id, validate_id(import_id, "import")
    )
    if row is None:
        raise NotFoundError.of("import")
    return _import_of(row)


def _wishes_of(row: asyncpg.Record) -> ImportWishes:
    return msgspec.json.decode(row["wishes_text"], type=ImportWishes)


def _import_of(row: asyncpg.Record) -> LinkImport:
    return LinkImport(
        tenant_id=row["tenant_id"],
        id=row["id"],
        profile_id=row["profile_id"],
        wishes=_wishes_of(row),
        size=row["size"],
        chunks=row["chunks"],
        state=import_state(row["state"], row["error"]),
        counts=RowCounts(row["created"], row["updated"], row["unchanged"], row["rejected"]),
        line=row["line"],
        total=row["total"],
        unread=tuple(row["unread"]),
        error=import_error(row["state"], row["error"], row["last_error"]),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
