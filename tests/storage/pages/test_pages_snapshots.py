"""Published pages in snapshots of edges, with what they show of links and of their repositories."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from engine.github.ports import GithubSyncQueue
from engine.github.repository import RememberedRepository, RepositoryFacts
from engine.github.sync import SYNC_KIND, SYNC_QUEUE, SyncOutcome
from engine.jobs.ports import JobQueue
from engine.links.link import Link, LinkDraft
from engine.links.profile import MAX_WHOLE_LINKS, ProfileDraft
from engine.pages.blocks import LinkBlock, RepositoryBlock
from engine.pages.page import ProfilePage
from engine.pages.page_link import SnapshotPage
from engine.pages.ports import PageStore
from engine.pages.publication import decode_page
from engine.visits.snapshot import Snapshot
from storage.github.memory_syncs import MemoryGithubSyncs
from storage.github.syncs import PostgresGithubSyncQueue
from storage.jobs.jobs import PostgresJobQueue
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles
from storage.pages.memory_pages import MemoryPages
from storage.pages.pages import PostgresPageStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)

FACTS = RepositoryFacts(
    full_name="trio/trio", stars=7, forks=0, language=None, description="naïve", topics=(),
    licence="MIT", avatar_url=None, archived=False,
)  # fmt: skip


def now() -> datetime:
    return datetime.now(UTC)


class World(NamedTuple):
    pages: PageStore
    stores: Stores
    syncs: GithubSyncQueue
    jobs: JobQueue
    profile_id: int

    async def link(self, slug: str, kind: str = "url") -> Link:
        draft = LinkDraft(slug=slug, target=f"https://github.com/trio/{slug}", kind=kind)
        made, _ = await self.stores.profiles.create_link(self.stores.caller, self.profile_id, draft)
        return made

    async def publish(self, page: ProfilePage) -> None:
        await self.pages.put_draft(self.stores.caller, self.profile_id, page)
        await self.pages.publish(self.stores.caller, self.profile_id)

    async def snapshot(self, path: bytes = b"/@ada") -> Snapshot:
        (snapshot,) = await self.stores.snapshots.find([path])
        assert snapshot is not None
        return snapshot

    async def published(self) -> SnapshotPage:
        page = (await self.snapshot()).published
        assert page is not None
        return page

    async def synchronise(self, link: Link, facts: RepositoryFacts | None) -> None:
        await self.syncs.enqueue_due(10)
        work = await self.syncs.begin(self.stores.caller.tenant_id, link.id)
        assert work is not None
        (job,) = await self.jobs.claim("w", {SYNC_QUEUE: 100}, [SYNC_KIND], 60)
        outcome = SyncOutcome("synced", "", RememberedRepository(facts=facts), 0, now())
        await self.jobs.finish_with(job.lease, self.syncs.outcome_writer(work, "trio/r", outcome))


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        jobs = MemoryJobs(now)
        syncs = MemoryGithubSyncs(stores.profiles, jobs, now)
        yield World(MemoryPages(stores.profiles), stores, syncs, jobs, profile.id)
        return
    async with opened(place) as open_database:
        workers = await open_database("waypost_aggregator")
        pages = PostgresPageStore(await open_database("waypost_app"))
        queue = PostgresGithubSyncQueue(workers), PostgresJobQueue(workers)
        yield World(pages, stores, *queue, profile.id)


async def test_edges_get_the_published_version_with_its_links(world: World) -> None:
    me, links = world.stores.caller, [await world.link(slug) for slug in "abc"]
    assert (await world.snapshot()).published is None
    blocks = tuple(LinkBlock(id=f"b{n}", link_id=str(link.id)) for n, link in enumerate(links[:2]))
    await world.publish(ProfilePage(name="Ada", blocks=blocks))
    before = await world.snapshot()
    await world.pages.put_draft(me, world.profile_id, ProfilePage(name="Eve"))
    page = await world.published()
    assert (page.number, decode_page(page.page)) == (1, ProfilePage(name="Ada", blocks=blocks))
    assert {link.slug for link in page.links} == {"a", "b"}

    hidden = LinkDraft(slug="a", target=links[0].target, title="A", hidden=True)
    await world.stores.profiles.update_link(me, links[0].id, hidden)
    await world.stores.profiles.delete_link(me, links[1].id)
    difference = await world.stores.snapshots.refresh(world.profile_id, before.version, 100)
    assert difference is not None
    assert difference.published is not None
    assert difference.published.links == () == (await world.published()).links


async def test_a_large_profile_has_its_published_page_by_each_of_its_links(world: World) -> None:
    last = [await world.link(f"s{n}") for n in range(MAX_WHOLE_LINKS + 1)][-1]
    await world.publish(ProfilePage(blocks=(LinkBlock(id="b1", link_id=str(last.id)),)))
    for path in (b"/s0", b"/ada/s1", b"/@ada"):
        snapshot = await world.snapshot(path)
        assert not snapshot.complete
        assert snapshot.published is not None
        assert [link.id for link in snapshot.published.links] == [last.id]
    await world.publish(ProfilePage(name="Ada"))
    page = await world.published()
    assert (page.number, page.links) == (2, ())


async def test_facts_of_a_repository_reach_the_page_that_shows_it(world: World) -> None:
    shown = await world.link("one", "github")
    await world.publish(ProfilePage(blocks=(RepositoryBlock(id="b1", link_id=str(shown.id)),)))
    version = (await world.snapshot()).version
    await world.synchronise(shown, FACTS)
    page = await world.published()
    assert page.links[0].facts == FACTS
    assert page.links[0].synced_at is not None
    assert now() - page.links[0].synced_at < timedelta(minutes=5)
    assert (await world.snapshot()).version == version + 1


async def test_facts_that_no_page_shows_announce_nothing(world: World) -> None:
    link = await world.link("one", "github")
    await world.publish(ProfilePage(name="Ada"))
    version = (await world.snapshot()).version
    await world.synchronise(link, FACTS)
    assert (await world.snapshot()).version == version


async def test_the_same_facts_announce_nothing_and_lost_ones_do(world: World) -> None:
    link = await world.link("one", "github")
    await world.publish(ProfilePage(blocks=(RepositoryBlock(id="b1", link_id=str(link.id)),)))
    await world.synchronise(link, FACTS)
    version = (await world.snapshot()).version
    await world.synchronise(link, FACTS)
    assert (await world.snapshot()).version == version
    await world.synchronise(link, msgspec.structs.replace(FACTS, stars=8))
    assert (await world.snapshot()).version == version + 1
    await world.synchronise(link, None)
    assert (await world.snapshot()).version == version + 2
    assert (await world.published()).links[0].facts is None
