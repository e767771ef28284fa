"""Synchronisation with GitHub in memory: the twins of storage/github/syncs.py and storage/github/links.py."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import trio

from engine.accounts.access import Action, Caller
from engine.github.conversation import RequestPause
from engine.github.repository import (
    LinkSync,
    RememberedRepository,
    RepositoryFacts,
    SyncState,
    next_due_at,
)
from engine.github.sync import (
    SYNC_KIND,
    DueSync,
    PauseState,
    RequestLease,
    SyncOutcome,
    require_sync_allowed,
)
from engine.jobs.job import Job, JobDraft
from engine.links.link import Link
from storage.github.links import sync_job
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles

GUARD = timedelta(minutes=10)


@dataclass
class _SyncRow:
    target: str
    kind: str
    next_at: datetime | None
    repository: str = ""
    state: SyncState = "queued"
    reason: str = ""
    failures: int = 0
    known: RememberedRepository = field(default_factory=RememberedRepository)
    asked_at: datetime | None = None
    tried_at: datetime | None = None
    synced_at: datetime | None = None
    version: int = 1

    def shown(self) -> LinkSync:
        facts: RepositoryFacts | None = self.known.facts
        return LinkSync(
            state=self.state,
            reason=self.reason,
            facts=facts,
            synced_at=self.synced_at,
            next_at=self.next_at,
            version=self.version,
        )


class MemoryGithubSyncs:
    """GithubSyncQueue and LinkSyncStore over the links of `profiles`, which it shows them its rows of.

    Jobs are enqueued in `jobs`.
    """

    def __init__(
        self, profiles: MemoryProfiles, jobs: MemoryJobs, now: Callable[[], datetime]
    ) -> None:
        self._profiles = profiles
        self._now = now
        self._rows: dict[int, _SyncRow] = {}
        self.jobs = jobs
        self._asking = trio.Lock()
        profiles.with_github = self.shown

    def shown(self, link: Link) -> LinkSync | None:
        row = self._row(link)
        return None if row is None else row.shown()

    # ---- as members see it --------------------------------------------------------------------------

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        return self.shown(await self._profiles.link(caller, link_id))

    async def request_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        async with self._asking:  # enqueuing waits, and nobody may come in between
            return await self._ask(caller, link_id)

    async def _ask(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        link = await self._profiles.link(caller, link_id)
        tenant_id = self._profiles.team(caller, link.profile_id, Action.EDIT)[0].tenant_id
        row = self._row(link)
        now, there = self._now(), self._jobs_of(link_id)
        if row is not None:
            asked_s = None if row.asked_at is None else (now - row.asked_at).total_seconds()
            require_sync_allowed(row.state, asked_s, not there)
        row = replace(row or _SyncRow(link.target, link.kind, now), state="queued", asked_at=now)
        row.next_at, row.version = now + GUARD, row.version + 1
        self._rows[link_id] = row
        (job,) = await self.jobs.enqueue([sync_job(tenant_id, link.profile_id, link_id)])
        return row.shown(), self.jobs.jobs[job.job_id]

    # ---- as workers see it --------------------------------------------------------------------------

    async def enqueue_due(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        now = self._now()
        due: list[tuple[datetime, int, JobDraft, _SyncRow]] = []
        for tenant_id, link in self._profiles.all_links():
            row = self._row(link)
            if row is not None and row.next_at is not None and row.next_at <= now:
                draft = sync_job(tenant_id, link.profile_id, link.id)
                due.append((row.next_at, link.id, draft, row))
        chosen = sorted(due, key=lambda one: one[:2])[:limit]
        for _, _, draft, row in chosen:
            row.state, row.next_at, row.version = "queued", now + GUARD, row.version + 1
            await self.jobs.enqueue([draft])
        return len(chosen)

    async def begin(self, tenant_id: int, link_id: int) -> DueSync | None:
        await trio.lowlevel.checkpoint()
        link = self._link(tenant_id, link_id)
        row = None if link is None else self._row(link)
        if link is None or row is None:
            return None
        now = self._now()
        row.state, row.tried_at, row.next_at = "running", now, now + GUARD
        row.version += 1
        kept = link.kind == "github"
        return DueSync(
            tenant_id, link_id, link.profile_id, row.target, kept, row.failures, row.known
        )

    async def sibling_outcome(self, work: DueSync, key: str, since: datetime) -> SyncOutcome | None:
        await trio.lowlevel.checkpoint()
        found = [
            row
            for tenant_id, link in self._profiles.all_links()
            if tenant_id == work.tenant_id
            and link.id != work.link_id
            and (row := self._rows.get(link.id)) is not None
            and row.repository == key
            and row.state in ("synced", "failed")
            and row.failures == 0
            and row.tried_at is not None
            and row.tried_at >= since
        ]
        if not found:
            return None
        row = max(found, key=lambda row: row.tried_at or since)
        due = next_due_at(work.tenant_id, key, row.tried_at or since)
        return SyncOutcome(row.state, row.reason, row.known, 0, due)

    async def postpone(self, tenant_id: int, link_id: int, paused: PauseState) -> None:
        await trio.lowlevel.checkpoint()
        if (row := self._rows.get(link_id)) is not None:
            row.state, row.reason, row.version = "queued", paused.reason, row.version + 1
            row.next_at = self._now() + timedelta(seconds=paused.retry_after_s)

    async def forget(self, tenant_id: int, link_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._rows.pop(link_id, None)

    def outcome_writer(
        self, work: DueSync, key: str, settled: SyncOutcome
    ) -> Callable[[Any], Awaitable[None]]:
        async def finish(_: Any) -> None:
            await trio.lowlevel.checkpoint()
            row = self._rows.get(work.link_id)
            if row is None or row.target != work.target:
                return
            row.repository, row.state, row.reason = key, settled.state, settled.reason
            row.failures, row.known = settled.failures, settled.remembered
            row.next_at = settled.next_at if work.periodic or settled.will_retry else None
            row.synced_at = self._now() if settled.state == "synced" else row.synced_at
            row.version += 1

        return finish

    # ---- the state -------------------------------------------------------------------------------------

    def _row(self, link: Link) -> _SyncRow | None:
        """The row of the link's target; each link of kind github has one from its beginning."""
        row = self._rows.get(link.id)
        if row is not None and (row.target, row.kind) != (link.target, link.kind):
            del self._rows[link.id]
            row = None
        if row is None and link.kind == "github":
            row = self._rows[link.id] = _SyncRow(
                link.target, link.kind, min(link.updated_at, self._now())
            )
        return row

    def _link(self, tenant_id: int, link_id: int) -> Link | None:
        found = [x for t, x in self._profiles.all_links() if (t, x.id) == (tenant_id, link_id)]
        return found[0] if found else None

    def _jobs_of(self, link_id: int) -> bool:
        """Whether one is queued or running."""
        return any(
            job.kind == SYNC_KIND and job.unique_key == str(link_id) and job.finished_at is None
            for job in self.jobs.jobs.values()
        )


class MemoryGithubRequestLease:
    """GithubRequestLease of one API and token."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._paused_until: datetime | None = None
        self._reason = ""
        self._in_a_row = 0
        self._holder = ""
        self._held_until: datetime | None = None

    async def acquire(self, holder: str, ttl_s: float) -> RequestLease | None:
        await trio.lowlevel.checkpoint()
        now = self._now()
        held = self._held_until is not None and now < self._held_until and self._holder != holder
        if held or (self._paused_until is not None and now < self._paused_until):
            return None
        self._holder, self._held_until = holder, now + timedelta(seconds=ttl_s)
        return RequestLease(now, self._in_a_row)

    async def current_pause(self) -> PauseState | None:
        await trio.lowlevel.checkpoint()
        if self._paused_until is None or self._paused_until <= self._now():
            return None
        return PauseState((self._paused_until - self._now()).total_seconds(), self._reason)

    async def pause(self, pause: RequestPause, in_a_row: int) -> None:
        await trio.lowlevel.checkpoint()
        until = self._now() + pause.wait
        self._paused_until = max(self._paused_until or until, until)
        self._reason, self._in_a_row = pause.reason, in_a_row

    async def reset_pauses(self) -> None:
        await trio.lowlevel.checkpoint()
        self._in_a_row = 0

    async def release(self, holder: str) -> None:
        await trio.lowlevel.checkpoint()
        if self._holder == holder:
            self._held_until = None
