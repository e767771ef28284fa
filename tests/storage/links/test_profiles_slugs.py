"""Slugs that links get when none is given: free ones, also while many writers want them at once."""

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange
from engine.links.profile import Profile, ProfileDraft
from storage.bridge import in_asyncio
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.large]
WRITERS = 64
CONNECTIONS = 16


def draft(_: Link | None) -> LinkDraft:
    return LinkDraft(target="https://example.com/")


async def created(
    store: PostgresProfileStore, caller: Caller, profile: Profile, count: int
) -> list[Link]:
    """Create links: one, or several in one transaction."""
    if count == 1:
        return [(await store.create_link(caller, profile.id, draft(None)))[0]]
    changes = [LinkChange("create", draft)] * count
    results, _ = await store.change_links(caller, profile.id, changes)
    assert [str(result.error) for result in results if result.error] == []
    return [result.link for result in results if result.link is not None]


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("count", "length", "batch"),
    [
        pytest.param(64_000, 6, 100, marks=pytest.mark.timeout(600)),
        # So short that a third of all slugs is taken at the end, and many first choices are.
        pytest.param(6_400, 3, 1, marks=pytest.mark.timeout(600)),
        pytest.param(1_024_000, 6, 100, marks=pytest.mark.timeout(1_800)),
    ],
)
async def test_no_writer_is_refused_and_no_slug_is_given_twice(
    stores: Stores, place: str, count: int, length: int, batch: int
) -> None:
    async with opened(place) as open_database:
        app = await open_database("waypost_app", CONNECTIONS * 2, 60_000)
        store = PostgresProfileStore(app, length)
        profiles: list[Profile] = [
            await store.create_profile(stores.caller, ProfileDraft(handle=f"writer-{n}"))
            for n in range(WRITERS)
        ]
        # A tenant's requests take half of a pool, and only some may wait for it.
        limit = trio.CapacityLimiter(CONNECTIONS)
        slugs: list[str] = []

        async def write(profile: Profile) -> None:
            for _ in range(count // WRITERS // batch):
                async with limit:
                    links = await created(store, stores.caller, profile, batch)
                assert all(link.short for link in links)
                slugs.extend(link.slug for link in links)

        async with trio.open_nursery() as nursery:
            for profile in profiles:
                nursery.start_soon(write, profile)
    assert len(slugs) == len(set(slugs)) == count
    assert await in_asyncio(_stored, place) == count


async def _stored(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval("SELECT count(DISTINCT slug) FROM waypost.short_slugs")
        )
    finally:
        await connection.close()
