"""Synchronisation with GitHub: one contract for LinkSyncStore, GithubSyncQueue and GithubRequestLease."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    StaleLeaseError,
    TooSoonError,
)
from engine.github.conversation import RequestPause
from engine.github.ports import GithubRequestLease, GithubSyncQueue, LinkSyncStore
from engine.github.repository import LinkSync, Release, RememberedRepository, RepositoryFacts
from engine.github.sync import SYNC_KIND, SYNC_QUEUE, PauseState, SyncOutcome
from engine.jobs.job import AttemptEnd, Job
from engine.jobs.ports import JobQueue
from engine.links.link import Link, LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import ProfileDraft
from engine.webhooks.webhook import NewWebhookDraft
from storage.accounts.keys import ensure_owner
from storage.github.links import PostgresLinkSyncStore
from storage.github.memory_syncs import MemoryGithubRequestLease, MemoryGithubSyncs
from storage.github.syncs import PostgresGithubRequestLease, PostgresGithubSyncQueue
from storage.jobs.jobs import PostgresJobQueue
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)

FACTS = RepositoryFacts(
    full_name="trio/trio",
    stars=2**53 - 1,
    forks=0,
    language=None,
    description="naïve \\u0000 'quoted' 🚀",
    topics=("a", "b"),
    licence="MIT",
    avatar_url=None,
    archived=False,
    last_release=Release(tag="v1", published_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    renamed_to="new/name",
)
KNOWN = RememberedRepository(
    facts=FACTS,
    etag='W/"1"',
    release_etag='"2"',
    release_due=True,
    named_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Ports(NamedTuple):
    store: LinkSyncStore
    syncs: GithubSyncQueue
    leases: GithubRequestLease
    elsewhere: GithubRequestLease  # another API or token
    jobs: JobQueue
    profiles: ProfileStore
    caller: Caller
    other: Caller

    async def link(self, slug: str = "trio", target: str = "", kind: str = "github") -> Link:
        profiles = (await self.profiles.list_profiles(self.caller, 0, 1)).items
        if not profiles:
            profile_draft = ProfileDraft(handle="ada")
            profiles = [await self.profiles.create_profile(self.caller, profile_draft)]
        draft = LinkDraft(slug=slug, target=target or "https://github.com/trio/trio", kind=kind)
        return (await self.profiles.create_link(self.caller, profiles[0].id, draft))[0]

    async def read(self, link: Link) -> LinkSync | None:
        sync = (await self.profiles.link(self.caller, link.id)).github
        page = await self.profiles.list_links(self.caller, link.profile_id, 0, 100)
        assert [link_row.github for link_row in page.items if link_row.id == link.id] == [sync]
        assert await self.store.github_sync(self.caller, link.id) == sync
        return sync

    async def state(self, link: Link) -> LinkSync:
        sync = await self.read(link)
        assert sync is not None
        return sync

    async def claimed(self) -> list[Job]:
        return await self.jobs.claim("w", {SYNC_QUEUE: 100}, [SYNC_KIND], 60)

    async def finish(self, link: Link, outcome: SyncOutcome) -> SyncOutcome:
        work = await self.syncs.begin(self.caller.tenant_id, link.id)
        assert work is not None
        (job,) = await self.claimed()
        await self.jobs.finish_with(
            job.lease, self.syncs.outcome_writer(work, "trio/trio", outcome)
        )
        return outcome


@pytest.fixture
async def ports(place: str) -> AsyncIterator[Ports]:
    if not place:
        profiles, jobs = MemoryProfiles(), MemoryJobs(_now)
        syncs = MemoryGithubSyncs(profiles, jobs, _now)
        yield Ports(
            syncs, syncs, MemoryGithubRequestLease(_now), MemoryGithubRequestLease(_now), jobs, profiles,
            Caller(1, 1), Caller(2, 2),
        )  # fmt: skip
        return
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        yield Ports(
            PostgresLinkSyncStore(app), PostgresGithubSyncQueue(workers),
            PostgresGithubRequestLease(workers, "http://a", "t"),
            PostgresGithubRequestLease(workers, "http://a", "u"), PostgresJobQueue(workers),
            PostgresProfileStore(app), owner.caller, await second_owner(place),
        )  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC)


def synced(remembered: RememberedRepository = KNOWN, **fields: Any) -> SyncOutcome:
    due = _now() + timedelta(hours=5)
    return SyncOutcome("synced", "", remembered, 0, due)._replace(**fields)


async def test_a_link_is_due_from_its_creation_and_keeps_its_facts(ports: Ports) -> None:
    link = await ports.link()
    assert link.github is None or link.github.state == "queued"
    first = await ports.state(link)
    assert (first.state, first.facts, first.synced_at) == ("queued", None, None)
    assert await ports.syncs.enqueue_due(10) == 1
    assert await ports.syncs.enqueue_due(10) == 0
    (job,) = await ports.claimed()
    assert (job.tenant_id, job.profile_id) == (ports.caller.tenant_id, link.profile_id)
    assert job.payload == {"link_id": str(link.id)}

    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    assert (work.target, work.periodic, work.failures, work.remembered) == (
        link.target,
        True,
        0,
        RememberedRepository(),
    )
    assert (await ports.state(link)).state == "running"
    outcome = synced()
    await ports.jobs.finish_with(job.lease, ports.syncs.outcome_writer(work, "trio/trio", outcome))
    sync = await ports.state(link)
    assert (sync.state, sync.facts, sync.next_at) == ("synced", FACTS, outcome.next_at)
    assert sync.synced_at is not None
    assert sync.version > first.version
    again = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert again is not None
    assert again.remembered == KNOWN


async def test_a_failed_synchronisation_keeps_the_facts_and_is_due_again(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    await ports.finish(link, synced(next_at=_now()))
    before = await ports.state(link)
    assert await ports.syncs.enqueue_due(10) == 1
    failed = synced(state="failed", reason="GitHub answers 500", failures=2, will_retry=True)
    await ports.finish(link, failed)
    sync = await ports.state(link)
    assert (sync.state, sync.reason, sync.facts) == ("failed", "GitHub answers 500", FACTS)
    assert sync.synced_at == before.synced_at
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    assert work.failures == 2


async def test_due_links_are_enqueued_up_to_the_limit(ports: Ports) -> None:
    links = [await ports.link(f"s{n}", f"https://github.com/trio/r{n}") for n in range(5)]
    assert await ports.syncs.enqueue_due(2) == 2
    assert await ports.syncs.enqueue_due(2) == 2
    assert await ports.syncs.enqueue_due(2) == 1
    jobs = await ports.claimed()
    assert sorted(int(str(job.payload["link_id"])) for job in jobs) == [link.id for link in links]


async def test_links_of_other_kinds_are_not_synchronised(ports: Ports) -> None:
    link = await ports.link(kind="url")
    assert await ports.read(link) is None
    assert await ports.syncs.enqueue_due(10) == 0
    assert await ports.syncs.begin(ports.caller.tenant_id, link.id) is None


async def test_a_request_gets_a_job_once_at_a_time_and_once_per_minute(ports: Ports) -> None:
    link = await ports.link(kind="url")
    sync, queued = await ports.store.request_github_sync(ports.caller, link.id)
    assert sync.state == "queued"
    assert sync.next_at is not None
    with pytest.raises(ConflictError):
        await ports.store.request_github_sync(ports.caller, link.id)
    (job,) = await ports.claimed()
    assert job.id == queued.id
    assert (queued.kind, queued.state, queued.profile_id) == (SYNC_KIND, "queued", link.profile_id)
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    assert not work.periodic
    with pytest.raises(ConflictError):
        await ports.store.request_github_sync(ports.caller, link.id)
    await ports.jobs.finish_with(job.lease, ports.syncs.outcome_writer(work, "trio/trio", synced()))
    sync = await ports.state(link)
    assert (sync.state, sync.next_at) == ("synced", None)
    with pytest.raises(TooSoonError) as caught:
        await ports.store.request_github_sync(ports.caller, link.id)
    assert 50 < caught.value.retry_after_s <= 60
    assert await ports.claimed() == []


async def test_a_request_for_a_queued_link_gets_the_queued_job(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    sync, queued = await ports.store.request_github_sync(ports.caller, link.id)
    assert sync.state == "queued"
    with pytest.raises(ConflictError):
        await ports.store.request_github_sync(ports.caller, link.id)
    assert [job.id for job in await ports.claimed()] == [queued.id]


async def test_of_concurrent_requests_one_gets_a_job(ports: Ports) -> None:
    link = await ports.link(kind="url")
    outcomes: list[str] = []

    async def request() -> None:
        try:
            await ports.store.request_github_sync(ports.caller, link.id)
            outcomes.append("202")
        except ConflictError:
            outcomes.append("409")

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(request)
    assert sorted(outcomes) == ["202"] + ["409"] * 5
    assert len(await ports.claimed()) == 1


async def test_of_concurrent_workers_one_acquires_the_lease(ports: Ports) -> None:
    holders: list[str] = []

    async def acquire(holder: str) -> None:
        if await ports.leases.acquire(holder, 60) is not None:
            holders.append(holder)

    async with trio.open_nursery() as nursery:
        for n in range(6):
            nursery.start_soon(acquire, f"worker {n}")
    assert len(holders) == 1


async def test_a_worker_that_lost_its_job_writes_nothing(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    (job,) = await ports.claimed()
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    await ports.jobs.release("w", died=True)
    finish = ports.syncs.outcome_writer(work, "trio/trio", synced())
    with pytest.raises(StaleLeaseError):
        await ports.jobs.finish_with(job.lease, finish)
    assert (await ports.state(link)).state == "running"  # until the job's next attempt ends


async def test_only_members_that_may_edit_request_a_synchronisation(ports: Ports) -> None:
    link = await ports.link()
    reader = ports.caller._replace(scopes=("read",))
    for stranger in (ports.other, ports.caller):
        with pytest.raises(NotFoundError):
            await ports.store.request_github_sync(stranger, link.id + (stranger == ports.caller))
        with pytest.raises(NotFoundError):
            await ports.store.github_sync(stranger, link.id + (stranger == ports.caller))
    assert await ports.store.github_sync(reader, link.id) is not None
    with pytest.raises(ForbiddenError):
        await ports.store.request_github_sync(reader, link.id)


async def test_a_new_target_or_kind_discards_the_facts(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    (job,) = await ports.claimed()
    other = LinkDraft(slug=link.slug, target="https://github.com/trio/two", kind="github")
    changed, _ = await ports.profiles.update_link(ports.caller, link.id, other)
    await ports.jobs.finish_with(job.lease, ports.syncs.outcome_writer(work, "trio/trio", synced()))
    sync = await ports.state(link)
    assert (sync.state, sync.facts) == ("queued", None)  # the facts were of the old target
    assert await ports.syncs.enqueue_due(10) == 1
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    assert work.target == other.target

    same = LinkDraft(slug=link.slug, target=other.target, title="New", kind="github")
    changed, _ = await ports.profiles.update_link(ports.caller, link.id, same)
    assert changed.title == "New"
    assert (await ports.state(link)).state == "running"
    plain = LinkDraft(slug=link.slug, target=other.target)
    changed, _ = await ports.profiles.update_link(ports.caller, link.id, plain)
    assert changed.github is None
    assert await ports.read(link) is None


async def test_a_deleted_link_has_no_synchronisation(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    assert work is not None
    await ports.profiles.delete_link(ports.caller, link.id)
    (job,) = await ports.claimed()
    await ports.jobs.finish_with(job.lease, ports.syncs.outcome_writer(work, "trio/trio", synced()))
    assert await ports.syncs.begin(ports.caller.tenant_id, link.id) is None


async def test_a_sibling_has_the_tenant_and_repository_and_a_recent_outcome(ports: Ports) -> None:
    link, two = await ports.link(), await ports.link("two")
    await ports.syncs.enqueue_due(10)
    jobs = {int(str(job.payload["link_id"])): job for job in await ports.claimed()}
    work = await ports.syncs.begin(ports.caller.tenant_id, link.id)
    other = await ports.syncs.begin(ports.caller.tenant_id, two.id)
    assert work is not None
    assert other is not None
    since = jobs[two.id].created_at
    assert await ports.syncs.sibling_outcome(other, "trio/trio", since) is None
    lease = jobs[link.id].lease
    await ports.jobs.finish_with(lease, ports.syncs.outcome_writer(work, "trio/trio", synced()))
    sync = await ports.syncs.sibling_outcome(other, "trio/trio", since)
    assert sync is not None
    assert (sync.state, sync.remembered, sync.failures) == ("synced", KNOWN, 0)
    assert await ports.syncs.sibling_outcome(other, "trio/two", since) is None
    assert (
        await ports.syncs.sibling_outcome(other, "trio/trio", _now() + timedelta(seconds=5)) is None
    )
    assert (
        await ports.syncs.sibling_outcome(work, "trio/trio", since) is None
    )  # a link is no sibling of itself
    stranger = other._replace(tenant_id=ports.other.tenant_id)
    assert await ports.syncs.sibling_outcome(stranger, "trio/trio", since) is None


async def test_a_postponed_link_is_due_after_the_pause(ports: Ports) -> None:
    link = await ports.link()
    await ports.syncs.enqueue_due(10)
    (job,) = await ports.claimed()
    await ports.syncs.postpone(
        ports.caller.tenant_id, link.id, PauseState(0, "GitHub's rate limit")
    )
    await ports.jobs.end([AttemptEnd(job.lease, "succeeded")])
    sync = await ports.state(link)
    assert (sync.state, sync.reason) == ("queued", "GitHub's rate limit")
    assert await ports.syncs.enqueue_due(10) == 1
    await ports.syncs.postpone(ports.caller.tenant_id, link.id, PauseState(60, "x"))
    assert await ports.syncs.enqueue_due(10) == 0


async def test_one_worker_sends_at_a_time(ports: Ports) -> None:
    leases = ports.leases
    lease = await leases.acquire("one", 60)
    assert lease is not None
    assert abs((lease.now - _now()).total_seconds()) < 5
    assert lease.consecutive_pauses == 0
    assert await leases.acquire("two", 60) is None
    assert await leases.current_pause() is None
    assert await leases.acquire("one", 60) is not None  # the holder renews its lease
    assert await ports.elsewhere.acquire("two", 60) is not None
    await leases.release("two")
    assert await leases.acquire("two", 60) is None
    await leases.release("one")
    assert await leases.acquire("two", 0) is not None
    assert await leases.acquire("one", 60) is not None  # the lease of 0 s has expired


async def test_no_worker_sends_in_a_pause_and_no_pause_shortens_another(ports: Ports) -> None:
    leases = ports.leases
    await leases.acquire("one", 60)
    await leases.pause(RequestPause(timedelta(minutes=30), "long"), 1)
    await leases.pause(RequestPause(timedelta(minutes=1), "short"), 2)
    await leases.release("one")
    pause = await leases.current_pause()
    assert pause is not None
    assert 1790 < pause.retry_after_s <= 1800
    for holder in ("one", "two"):
        assert await leases.acquire(holder, 60) is None
    assert await ports.elsewhere.current_pause() is None


async def test_consecutive_pauses_are_counted_until_they_are_reset(ports: Ports) -> None:
    leases = ports.leases
    await leases.acquire("one", 60)
    await leases.pause(RequestPause(timedelta(), "x"), 3)
    lease = await leases.acquire("one", 60)
    assert lease is not None
    assert lease.consecutive_pauses == 3
    await leases.reset_pauses()
    lease = await leases.acquire("one", 60)
    assert lease is not None
    assert lease.consecutive_pauses == 0


@pytest.mark.slow
async def test_webhooks_get_an_event_only_when_facts_change(database_url: str) -> None:
    async with opened(database_url) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        ports = Ports(
            PostgresLinkSyncStore(app), PostgresGithubSyncQueue(workers), MemoryGithubRequestLease(_now),
            MemoryGithubRequestLease(_now), PostgresJobQueue(workers), PostgresProfileStore(app), owner.caller,
            owner.caller,
        )  # fmt: skip
        link = await ports.link()
        draft = NewWebhookDraft(url="https://example.com/", event_types=["github.*"])
        await PostgresWebhookStore(app).create_webhook(owner.caller, link.profile_id, draft)
        other = msgspec.structs.replace(KNOWN, facts=msgspec.structs.replace(FACTS, stars=1))
        for remembered in (KNOWN, KNOWN, other, RememberedRepository()):
            await ports.syncs.enqueue_due(10)
            await ports.finish(link, synced(remembered, next_at=_now()))

        async def events(connection: Connection) -> list[str]:
            rows = await connection.fetch("SELECT type, data::text FROM events ORDER BY id")
            assert {row["type"] for row in rows} == {"github.synced"}
            return [row["data"] for row in rows]

        first, second = map(msgspec.json.decode, await workers.transaction(events))
        assert first == {
            "profile_id": str(link.profile_id), "link_id": str(link.id), "repository": "trio/trio",
            "stars": 2**53 - 1, "forks": 0, "language": None, "archived": False,
        }  # fmt: skip
        assert second["stars"] == 1
