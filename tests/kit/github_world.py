"""Links over in-memory stores, a GitHub to keep them in step with, and a clock that stands still."""

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
        self.turns = MemoryGithubRequestLease(self.now)
        self.caller = Caller(1, 1)
        self.worker = self.another("one", MemoryGithubApi(self.github, self.token))

    def now(self) -> datetime:
        return self.time

    def another(self, holder: str, api: GithubApi) -> GithubSync:
        return GithubSync(self.syncs, self.turns, api, holder, lambda: 0.0)

    async def link(
        self, name: str, slug: str = "", kind: str = "github", caller: Caller | None = None
    ) -> Link:
        who = caller or self.caller
        handle = f"h{who.tenant_id}"
        found = (await self.profiles.list_profiles(who, 0, 1)).items
        profile = (
            found[0]
            if found
            else await self.profiles.create_profile(who, ProfileDraft(handle=handle))
        )
        draft = LinkDraft(
            slug=slug or name.lower().replace("/", "-"),
            target=f"https://github.com/{name}",
            kind=kind,
        )
        return (await self.profiles.create_link(who, profile.id, draft))[0]

    async def run(self, later: timedelta = timedelta()) -> list[tuple[str, int]]:
        """Let time pass, do what is due then, and tell what GitHub was asked."""
        self.time += later
        self.github.ledger.clear()
        if await self.turns.current_pause() is None:
            await self.syncs.enqueue_due(100)
        for context in await self.taken():
            await self.worker.sync(context)
            await self.jobs.end([AttemptEnd(context.job.lease, "succeeded")])
        return list(self.github.ledger)

    async def taken(self) -> list[JobContext]:
        """The synchronisations that are queued, now running."""
        jobs = await self.jobs.claim("w", {SYNC_QUEUE: 100}, [SYNC_KIND], 60)
        return [JobContext(job, self.jobs) for job in jobs]

    async def state(self, link: Link, caller: Caller | None = None) -> LinkSync:
        found = (await self.profiles.link(caller or self.caller, link.id)).github
        assert found is not None
        return found

    async def until(self, link: Link) -> timedelta:
        """How long until the link is due."""
        due = (await self.state(link)).next_at
        assert due is not None
        return due - self.time


@asynccontextmanager
async def world(wire: bool, total_s: float = 10, **fields: Any) -> AsyncIterator[World]:
    """With `wire`, GitHub is asked over HTTP on the loopback."""
    made = World(**fields)
    if not wire:
        yield made
        return
    async with serving(made.github) as url:
        api = HttpGithubApi(url, made.token, total_s)
        made.worker = made.another("one", api)
        try:
            yield made
        finally:
            await api.close()
