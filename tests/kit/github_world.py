"""Links over in-memory stores, a GitHub for their synchronisation, and a clock that stands still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from actors.github.sync import GithubSync
from engine.accounts.access import Caller
from engine.github.ports import GithubApi
from engine.github.repository import LinkSync
from engine.github.sync import SYNC_KIND, SYNC_QUEUE
from engine.jobs.handler import JobContext
from engine.jobs.job import AttemptEnd
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileDraft
from storage.github.api import HttpGithubApi
from storage.github.memory_api import MemoryGithub, MemoryGithubApi
from storage.github.memory_syncs import MemoryGithubRequestLease, MemoryGithubSyncs
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.github_server import serving

START = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
TOKEN = "github_pat_secret"


@dataclass
class World:
    token: str = TOKEN
    time: datetime = START
    profiles: MemoryProfiles = field(default_factory=MemoryProfiles)

    def __post_init__(self) -> None:
        self.github = MemoryGithub(self.now)
        self.jobs = MemoryJobs(self.now)
        self.syncs = MemoryGithubSyncs(self.profiles, self.jobs, self.now)
        self.request_lease = MemoryGithubRequestLease(self.now)
        self.caller = Caller(1, 1)
        self.worker = self.new_worker("one", MemoryGithubApi(self.github, self.token))

    def now(self) -> datetime:
        return self.time

    def new_worker(self, holder: str, api: GithubApi) -> GithubSync:
        return GithubSync(self.syncs, self.request_lease, api, holder, lambda: 0.0)

    async def link(
        self, name: str, slug: str = "", kind: str = "github", caller: Caller | None = None
    ) -> Link:
        acting = caller or self.caller
        handle = f"h{acting.tenant_id}"
        profiles = (await self.profiles.list_profiles(acting, 0, 1)).items
        profile = (
            profiles[0]
            if profiles
            else await self.profiles.create_profile(acting, ProfileDraft(handle=handle))
        )
        draft = LinkDraft(
            slug=slug or name.lower().replace("/", "-"),
            target=f"https://github.com/{name}",
            kind=kind,
        )
        return (await self.profiles.create_link(acting, profile.id, draft))[0]

    async def run(self, later: timedelta = timedelta()) -> list[tuple[str, int]]:
        """Let time pass and run the due synchronisations. Returns the requests as (path, status)."""
        self.time += later
        self.github.requests.clear()
        if await self.request_lease.current_pause() is None:
            await self.syncs.enqueue_due(100)
        for context in await self.claim_jobs():
            await self.worker.sync(context)
            await self.jobs.end([AttemptEnd(context.job.lease, "succeeded")])
        return list(self.github.requests)

    async def claim_jobs(self) -> list[JobContext]:
        """Claim the queued synchronisations. Returns the contexts of their jobs."""
        jobs = await self.jobs.claim("w", {SYNC_QUEUE: 100}, [SYNC_KIND], 60)
        return [JobContext(job, self.jobs) for job in jobs]

    async def state(self, link: Link, caller: Caller | None = None) -> LinkSync:
        sync = (await self.profiles.link(caller or self.caller, link.id)).github
        assert sync is not None
        return sync

    async def until(self, link: Link) -> timedelta:
        """Return the time until the link is due."""
        due = (await self.state(link)).next_at
        assert due is not None
        return due - self.time


@asynccontextmanager
async def world(wire: bool, total_s: float = 10, **fields: Any) -> AsyncIterator[World]:
    """Yield a world; with `wire`, its requests to GitHub go over HTTP on the loopback."""
    created = World(**fields)
    if not wire:
        yield created
        return
    async with serving(created.github) as url:
        api = HttpGithubApi(url, created.token, total_s)
        created.worker = created.new_worker("one", api)
        try:
            yield created
        finally:
            await api.close()
