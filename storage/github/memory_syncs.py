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

RETRY_AFTER = timedelta(minutes=10)


@dataclass
class _SyncRow:
    target: str
    kind: str
    next_at: datetime | None
    repository: str = ""
    state: SyncState = "queued"
    reason: str = ""
    failures: int = 0
    remembered: RememberedRepository = field(default_factory=RememberedRepository)
    requested_at: datetime | None = None
    tried_at: datetime | None = None
    synced_at: datetime | None = None
    version: int = 1

    def link_sync(self) -> LinkSync:
        facts: RepositoryFacts | None = self.remembered.facts
        return LinkSync(
            state=self.state,
            reason=self.reason,
            facts=facts,
            synced_at=self.synced_at,
            next_at=self.next_at,
            version=self.version,
        )


class MemoryGithubSyncs:
    """GithubSyncQueue and LinkSyncStore over the links of `profiles`, which read each link's state here.

    Jobs are enqueued in `jobs`.
    """

    def __init__(
        self, profiles: MemoryProfiles, jobs: MemoryJobs, now: Callable[[], datetime]
    ) -> None:
        self._profiles = profiles
        self._now = now
        self._rows: dict[int, _SyncRow] = {}
        self.jobs = jobs
        self._requests = trio.Lock()
        profiles.with_github = self.link_sync

    def link_sync(self, link: Link) -> LinkSync | None:
        row = self._row(link)
        return None if row is None else row.link_sync()

    # ---- for members --------------------------------------------------------------------------

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        return self.link_sync(await self._profiles.link(caller, link_id))

    async def request_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        async with self._requests:  # enqueue() waits, and no other request may run meanwhile
            return await self._request(caller, link_id)

    async def _request(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        link = await self._profiles.link(caller, link_id)
        tenant_id = self._profiles.team(caller, link.profile_id, Action.EDIT)[0].tenant_id
        row = self._row(link)
        now, has_job = self._now(), self._has_job(link_id)
        if row is not None:
            since_request_s = (
                None if row.requested_at is None else (now - row.requested_at).total_seconds()
            )
            require_sync_allowed(row.state, since_request_s, not has_job)
        row = replace(
            row or _SyncRow(link.target, link.kind, now), state="queued", requested_at=now
        )
        row.next_at, row.version = now + RETRY_AFTER, row.version + 1
        self._rows[link_id] = row
        (job,) = await self.jobs.enqueue([sync_job(tenant_id, link.profile_id, link_id)])
        return row.link_sync(), self.jobs.jobs[job.job_id]

    # ---- for workers --------------------------------------------------------------------------

    async def enqueue_due(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        now = self._now()
        due: list[tuple[datetime, int, JobDraft, _SyncRow]] = []
        for tenant_id, link in self._profiles.all_links():
            row = self._row(link)
            if row is not None and row.next_at is not None and row.next_at <= now:
                draft = sync_job(tenant_id, link.profile_id, link.id)
                due.append((row.next_at, link.id, draft, row))
        chosen = sorted(due, key=lambda entry: entry[:2])[:limit]
        for _, _, draft, row in chosen:
            row.state, row.next_at, row.version = "queued", now + RETRY_AFTER, row.version + 1
            await self.jobs.enqueue([draft])
        return len(chosen)

    async def begin(self, tenant_id: int, link_id: int) -> DueSync | None:
        await trio.lowlevel.checkpoint()
        link = self._link(tenant_id, link_id)
        row = None if link is None else self._row(link)
        if link is None or row is None:
            return None
        now = self._now()
        row.state, row.tried_at, row.next_at = "running", now, now + RETRY_AFTER
        row.version += 1
        periodic = link.kind == "github"
        return DueSync(
            tenant_id, link_id, link.profile_id, row.target, periodic, row.failures, row.remembered
        )

    async def sibling_outcome(self, work: DueSync, key: str, since: datetime) -> SyncOutcome | None:
        await trio.lowlevel.checkpoint()
        rows = [
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
        if not rows:
            return None
        row = max(rows, key=lambda row: row.tried_at or since)
        due = next_due_at(work.tenant_id, key, row.tried_at or since)
        return SyncOutcome(row.state, row.reason, row.remembered, 0, due)

    async def postpone(self, tenant_id: int, link_id: int, pause: PauseState) -> None:
        await trio.lowlevel.checkpoint()
        if (row := self._rows.get(link_id)) is not None:
            row.state, row.reason, row.version = "queued", pause.reason, row.version + 1
            row.next_at = self._now() + timedelta(seconds=pause.retry_after_s)

    async def forget(self, tenant_id: int, link_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._rows.pop(link_id, None)

    def outcome_writer(
        self, work: DueSync, key: str, outcome: SyncOutcome
    ) -> Callable[[Any], Awaitable[None]]:
        async def finish(_: Any) -> None:
            await trio.lowlevel.checkpoint()
            row = self._rows.get(work.link_id)
            if row is None or row.target != work.target:
                return
            if outcome.remembered.facts != row.remembered.facts:
                self._profiles.facts_changed(work.link_id)
            row.repository, row.state, row.reason = key, outcome.state, outcome.reason
            row.failures, row.remembered = outcome.failures, outcome.remembered
            row.next_at = outcome.next_at if work.periodic or outcome.will_retry else None
            row.synced_at = self._now() if outcome.state == "synced" else row.synced_at
            row.version += 1

        return finish

    # ---- the state -------------------------------------------------------------------------------------

    def _row(self, link: Link) -> _SyncRow | None:
        """Return the row of the link's target. Each link of kind github has one from its creation."""
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
        links = [x for t, x in self._profiles.all_links() if (t, x.id) == (tenant_id, link_id)]
        return links[0] if links else None

    def _has_job(self, link_id: int) -> bool:
        """Return whether a synchronisation of the link is queued or running."""
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
        self._consecutive_pauses = 0
        self._holder = ""
        self._held_until: datetime | None = None

    async def acquire(self, holder: str, ttl_s: float) -> RequestLease | None:
        await trio.lowlevel.checkpoint()
        now = self._now()
        leased = self._held_until is not None and now < self._held_until and self._holder != holder
        if leased or (self._paused_until is not None and now < self._paused_until):
            return None
        self._holder, self._held_until = holder, now + timedelta(seconds=ttl_s)
        return RequestLease(now, self._consecutive_pauses)

    async def current_pause(self) -> PauseState | None:
        await trio.lowlevel.checkpoint()
        if self._paused_until is None or self._paused_until <= self._now():
            return None
        return PauseState((self._paused_until - self._now()).total_seconds(), self._reason)

    async def pause(self, pause: RequestPause, consecutive_pauses: int) -> None:
        await trio.lowlevel.checkpoint()
        until = self._now() + pause.wait
        self._paused_until = max(self._paused_until or until, until)
        self._reason, self._consecutive_pauses = pause.reason, consecutive_pauses

    async def reset_pauses(self) -> None:
        await trio.lowlevel.checkpoint()
        self._consecutive_pauses = 0

    async def release(self, holder: str) -> None:
        await trio.lowlevel.checkpoint()
        if self._holder == holder:
            self._held_until = None
