"""Orphan visits: of verified domains, bounded for a day, listed to members; in memory and in Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from engine.common.errors import NotFoundError
from engine.links.domain import Domain, NewDomainDraft, TxtAnswer, look_result, record_value
from engine.links.orphan_visits import (
    KEPT_DAYS,
    MAX_LISTED,
    MAX_PATHS,
    OTHER,
    OrphanCount,
    OrphanVisitLists,
    OrphanVisitStore,
)
from engine.links.ports import DomainLookStore, DomainStore
from engine.links.profile import ProfileDraft
from storage.links.domain_looks import PostgresDomainLookStore
from storage.links.domains import PostgresDomainStore
from storage.links.memory_domains import MemoryDomains
from storage.links.memory_orphan_visits import MemoryOrphanVisits
from storage.links.memory_profiles import MemoryProfiles
from storage.links.orphan_visits import (
    OrphanVisitPurge,
    PostgresOrphanVisitLists,
    PostgresOrphanVisits,
)
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)


class World(NamedTuple):
    domains: DomainStore
    looks: DomainLookStore
    visits: OrphanVisitStore
    lists: OrphanVisitLists
    stores: Stores

    async def domain(self, host: str, handle: str) -> Domain:
        """Return a new verified domain of the caller."""
        me = self.stores.caller
        profile = await self.stores.profiles.create_profile(me, ProfileDraft(handle=handle))
        domain = await self.domains.create_domain(me, profile.id, NewDomainDraft(host=host))
        answer = TxtAnswer((record_value(domain.token),))
        await self.looks.record([look_result(each, answer) for each in await self.looks.claim(10)])
        return domain


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        memory = MemoryDomains(stores.profiles)
        visits = MemoryOrphanVisits(memory, lambda: datetime.now(UTC))
        yield World(memory, memory, visits, visits, stores)
        return
    async with opened(place) as open_database:
        app = await open_database("waypost_app")
        yield World(
            PostgresDomainStore(app),
            PostgresDomainLookStore(await open_database("waypost_aggregator")),
            PostgresOrphanVisits(await open_database("waypost_edge")),
            PostgresOrphanVisitLists(app),
            stores,
        )


async def listed(world: World, domain: Domain, days: int = 7) -> list[tuple[str, int]]:
    paths = await world.lists.orphans(world.stores.caller, domain.id, days)
    return [(path.path, path.visits) for path in paths]


async def test_visits_are_listed_by_path_to_members_alone(world: World) -> None:
    one = await world.domain("one.example.com", "one")
    two = await world.domain("two.example.com", "two")
    await world.visits.add(
        [OrphanCount("one.example.com", "/a", 2), OrphanCount("one.example.com", "/B", 5),
         OrphanCount("two.example.com", "/a", 1), OrphanCount("none.example.com", "/a", 1)]
    )  # fmt: skip
    await world.visits.add([OrphanCount("one.example.com", "/a", 4)])
    assert await listed(world, one) == [("/a", 6), ("/B", 5)]
    assert await listed(world, one, days=1) == [("/a", 6), ("/B", 5)]
    assert await listed(world, two) == [("/a", 1)]
    with pytest.raises(NotFoundError):
        await world.lists.orphans(world.stores.other, one.id, 7)


async def test_a_day_has_a_bounded_number_of_paths(world: World) -> None:
    one = await world.domain("one.example.com", "one")
    counts = [OrphanCount("one.example.com", f"/{n:03}", 2) for n in range(MAX_PATHS + 20)]
    counts.append(OrphanCount("one.example.com", "/last", 3))
    await world.visits.add(counts)
    await world.visits.add(
        [OrphanCount("one.example.com", "/new", 1), OrphanCount("one.example.com", "/000", 1)]
    )
    paths = await listed(world, one)
    assert len(paths) == MAX_LISTED
    assert paths[:3] == [(OTHER, 21 * 2 + 1), ("/000", 3), ("/last", 3)]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_old_days_are_purged(world: World, open_database: OpenDatabase) -> None:
    one = await world.domain("one.example.com", "one")
    await world.visits.add([OrphanCount("one.example.com", "/a", 2)])
    owner = await open_database("waypost_owner")

    async def age(connection: Connection) -> None:
        await connection.execute(f"UPDATE orphan_visits SET day = day - {KEPT_DAYS}")

    await owner.transaction(age)
    assert await listed(world, one, KEPT_DAYS) == []
    await OrphanVisitPurge(await open_database("waypost_aggregator")).purge()

    async def count(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT count(*) FROM orphan_visits"))

    assert await owner.transaction(count) == 0
