"""Imports of files in memory: the twin of storage/links/imports/imports.py."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.jobs.job import Job, SnoozeError
from engine.links.imports.link_import import (
    IMPORT_KIND,
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
    import_state,
)
from engine.links.imports.row_error import RowReject
from storage.jobs.memory_jobs import ENDED, MemoryJobs, trio_now
from storage.links.imports.imports import ended, import_job, stale, too_many_open
from storage.links.memory_profiles import MemoryProfiles


@dataclass
class _SpooledImport:
    link_import: LinkImport
    job_id: int | None = None
    attempt: int = 0
    chunks: dict[int, bytes] = field(default_factory=dict)
    rejects: dict[int, RowReject] = field(default_factory=dict)


class MemoryImports:
    """ImportStore and ImportSpool over the twins of profiles and jobs."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        jobs: MemoryJobs,
        now: Callable[[], datetime] = trio_now,
    ) -> None:
        self._profiles = profiles
        self._jobs = jobs
        self._now = now
        self._entries: dict[int, _SpooledImport] = {}

    # For members

    async def begin(self, caller: Caller, profile_id: int, wishes: ImportWishes) -> LinkImport:
        profile = await self._profiles.profile(caller, profile_id, Action.EDIT)
        waiting = [
            entry
            for entry in self._entries.values()
            if entry.link_import.tenant_id == profile.tenant_id and not self._has_ended(entry)
        ]
        if len(waiting) >= MAX_OPEN_IMPORTS:
            raise too_many_open()
        link_import = LinkImport(
            tenant_id=profile.tenant_id,
            id=len(self._entries) + 1,
            profile_id=profile_id,
            wishes=wishes,
            created_at=self._now(),
        )
        self._entries[link_import.id] = _SpooledImport(link_import)
        return link_import

    async def add_chunk(
        self, caller: Caller, link_import: LinkImport, number: int, data: bytes
    ) -> None:
        await self._profiles.profile(caller, link_import.profile_id, Action.EDIT)
        self._entries[link_import.id].chunks[number] = data

    async def start(
        self, caller: Caller, link_import: LinkImport, *, size: int, chunks: int
    ) -> LinkImport:
        await self._profiles.profile(caller, link_import.profile_id, Action.EDIT)
        (job,) = await self._jobs.enqueue([import_job(link_import, caller)])
        entry = self._entries[link_import.id]
        entry.job_id = job.job_id
        entry.link_import = msgspec.structs.replace(link_import, size=size, chunks=chunks)
        return entry.link_import

    async def discard(self, caller: Caller, link_import: LinkImport) -> None:
        await self._profiles.profile(caller, link_import.profile_id, Action.EDIT)
        del self._entries[link_import.id]

    async def link_import(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport:
        await self._profiles.profile(caller, profile_id)
        return self._current(self._entry(profile_id, import_id))

    async def list_imports(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        await self._profiles.profile(caller, profile_id)
        imports = [
            self._current(entry)
            for id_, entry in reversed(self._entries.items())
            if entry.link_import.profile_id == profile_id
            and entry.job_id is not None
            and (not before or id_ < before)
        ]
        return ListPage.of(imports[: limit + 1], limit)

    async def list_rejects(
        self, caller: Caller, profile_id: int, import_id: int, after: int, limit: int
    ) -> ListPage:
        await self._profiles.profile(caller, profile_id)
        rejects = sorted(self._entry(profile_id, import_id).rejects.values())
        return ListPage.of([r for r in rejects if r.line > after][: limit + 1], limit, "line")

    async def cancel(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport:
        await self._profiles.profile(caller, profile_id, Action.EDIT)
        entry = self._entry(profile_id, import_id)
        if self._has_ended(entry):
            raise ended()
        job = await self._jobs.cancel(None, entry.job_id or 0)
        if job.state == "cancelled":
            entry.chunks.clear()
        return self._current(entry)

    # For workers

    async def open(self, job: Job) -> ImportTask | None:
        caller = caller_of(job.tenant_id, dict(job.payload))
        entry = self._entries.get(int(job.payload["import_id"]))
        try:
            profile = await self._profiles.profile(caller, job.profile_id or 0, Action.EDIT)
        except NotFoundError:
            return None
        if entry is None:
            return None
        others = [j for j in self._jobs.jobs.values() if j.kind == IMPORT_KIND and j.id < job.id]
        if any(j.state == "running" and j.tenant_id == job.tenant_id for j in others):
            raise SnoozeError(2, "an earlier import of the tenant runs")
        if entry.attempt > job.attempt:
            raise stale(job.id)
        entry.attempt = job.attempt
        if entry.link_import.wishes.dry_run:
            entry.rejects.clear()
            entry.link_import = msgspec.structs.replace(
                entry.link_import, counts=RowCounts(), line=0
            )
        lines = frozenset(entry.rejects)
        return ImportTask(self._current(entry), caller, profile.handle, job.attempt, lines)

    async def chunk(self, task: ImportTask, number: int) -> bytes | None:
        return self._entries[task.link_import.id].chunks.get(number)

    async def write_step(self, connection: Any, task: ImportTask, step: ImportStep) -> None:
        entry = self._entries.get(task.link_import.id)
        if entry is None or entry.attempt != task.attempt:
            raise stale(task.link_import.id)
        entry.link_import = msgspec.structs.replace(
            entry.link_import, counts=step.counts, line=step.line, total=step.total
        )
        for reject in step.rejects[: max(0, MAX_KEPT_REJECTS - len(entry.rejects))]:
            entry.rejects[reject.line] = reject

    async def save_step(self, task: ImportTask, step: ImportStep) -> None:
        await self.write_step(None, task, step)

    def end_writer(self, job: Job, end: ImportEnd) -> Callable[[Any], Awaitable[None]]:
        async def work(_: Any) -> None:
            entry = self._entries.get(int(job.payload["import_id"]))
            if entry is not None:
                entry.chunks.clear()
                entry.link_import = msgspec.structs.replace(
                    entry.link_import, unread=end.unread, error=end.error
                )

        return work

    # Both

    def _entry(self, profile_id: int, import_id: int) -> _SpooledImport:
        entry = self._entries.get(import_id)
        if entry is None or entry.link_import.profile_id != profile_id or entry.job_id is None:
            raise NotFoundError.of("import")
        return entry

    def _has_ended(self, entry: _SpooledImport) -> bool:
        return entry.job_id is not None and self._jobs.jobs[entry.job_id].state in ENDED

    def _current(self, entry: _SpooledImport) -> LinkImport:
        if entry.job_id is None:
            return entry.link_import
        job = self._jobs.jobs[entry.job_id]
        return msgspec.structs.replace(
            entry.link_import,
            state=import_state(job.state, entry.link_import.error),
            error=import_error(job.state, entry.link_import.error, job.last_error),
            finished_at=job.finished_at,
        )
