"""Leases of clicks: never more than the limit, over any number of edges; in memory and in Postgres."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

import msgspec
import pytest
import trio

from actors.visits import click_quotas
from actors.visits.click_quotas import ClickPermit, ClickQuotas
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileDraft
from engine.visits.click_quota import MAX_LEASE, ClickQuotaStore
from storage.links.memory_profiles import MemoryProfiles
from storage.visits.click_quotas import PostgresClickQuotas
from storage.visits.memory_click_quotas import MemoryClickQuotas
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)
DRAFT = LinkDraft(slug="a", target="https://example.com/")


class World:
    """A store of leases, and links of one profile."""

    def __init__(self, stores: Stores, store: ClickQuotaStore, profile_id: int) -> None:
        self.stores = stores
        self.store = store
        self._profile_id = profile_id

    async def link(self, limit: int | None) -> Link:
        draft = msgspec.structs.replace(DRAFT, slug=None, click_limit=limit)
        return (
            await self.stores.profiles.create_link(self.stores.caller, self._profile_id, draft)
        )[0]


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="demo"))
    if place:
        async with opened(place) as open_database:
            edge = await open_database("waypost_edge")
            yield World(stores, PostgresClickQuotas(edge), profile.id)
        return
    assert isinstance(stores.profiles, MemoryProfiles)
    yield World(stores, MemoryClickQuotas(stores.profiles.click_limit), profile.id)


async def test_leases_become_smaller_and_end(world: World) -> None:
    link = await world.link(100)
    key = await _tenant(world), link.id
    leases = []
    while lease := (await world.store.lease([key]))[link.id]:
        leases.append(lease)
    assert sum(leases) == 100
    assert leases == sorted(leases, reverse=True)
    assert leases[-1] == 1
    await world.store.give_back([(*key, 3)])
    assert [(await world.store.lease([key]))[link.id] for _ in range(4)] == [1, 1, 1, 0]


async def test_a_link_without_a_limit_is_no_reason_to_wait(world: World) -> None:
    link = await world.link(None)
    assert await world.store.lease([(await _tenant(world), link.id)]) == {link.id: MAX_LEASE}


@pytest.mark.parametrize("limit", [1, 100, 1_000])
async def test_four_edges_let_exactly_the_limit_pass(world: World, limit: int) -> None:
    link = await world.link(limit)
    tenant_id = await _tenant(world)
    edges = [Edge(tenant_id, link.id) for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for edge in edges:
            nursery.start_soon(edge.quotas.run, world.store, edge.deliver)
            for _ in range(max(25, limit * 10 // 4)):
                edge.visit()
        with trio.fail_after(60):
            while any(edge.answered < edge.visits for edge in edges):  # noqa: ASYNC110
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    assert sum(edge.passed for edge in edges) == limit


class Edge:
    """An edge's permits of one link, and the visits that it answers."""

    def __init__(self, tenant_id: int, link_id: int) -> None:
        self.quotas = ClickQuotas()
        self._permit: ClickPermit = self.quotas.permit(tenant_id, link_id)
        self.visits = self.answered = self.passed = 0

    def visit(self) -> None:
        self.visits += 1
        self._decide()

    def _decide(self) -> None:
        taken = self.quotas.take(self._permit)
        if taken is None:
            assert self.quotas.wait(self._permit, self, None)
            return
        self.answered += 1
        self.passed += taken

    def deliver(self, results: list[tuple[list[object], object]], available: bool) -> None:
        assert available
        for waiters, _ in results:
            for _ in waiters:
                self._decide()


async def _tenant(world: World) -> int:
    profiles = await world.stores.profiles.list_profiles(world.stores.caller, 0, 1)
    tenant_id: int = profiles.items[0].tenant_id
    return tenant_id


async def test_unused_clicks_are_given_back_at_the_end(world: World) -> None:
    link = await world.link(64)
    tenant_id = await _tenant(world)
    edge = Edge(tenant_id, link.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(edge.quotas.run, world.store, edge.deliver))
        edge.visit()
        with trio.fail_after(10):
            while not edge.answered:  # noqa: ASYNC110
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    rest = 0
    while lease := (await world.store.lease([(tenant_id, link.id)]))[link.id]:
        rest += lease
    assert rest == 63


async def test_clicks_that_are_leased_after_a_pause_are_given_back_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_quotas, "UNUSED_S", 0.05)
    link = await world.link(1_000)
    tenant_id = await _tenant(world)
    edge = Edge(tenant_id, link.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(edge.quotas.run, world.store, edge.deliver)
        with trio.fail_after(10):
            for visits in (1, 2):
                edge.visit()
                while edge.answered < visits or edge._permit.left:  # noqa: ASYNC110
                    await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    rest = 0
    while lease := (await world.store.lease([(tenant_id, link.id)]))[link.id]:
        rest += lease
    assert rest == 998


class SlowReturns:
    """A store that is asked to take clicks back some time before it does."""

    def __init__(self, store: ClickQuotaStore) -> None:
        self._store = store
        self.begun = trio.Event()

    async def lease(self, links: Sequence[tuple[int, int]]) -> dict[int, int]:
        return await self._store.lease(links)

    async def give_back(self, unused: Sequence[tuple[int, int, int]]) -> None:
        self.begun.set()
        await trio.sleep(0.01)
        await self._store.give_back(unused)


async def test_a_stop_amid_a_return_loses_no_click(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_quotas, "UNUSED_S", 0.05)
    link = await world.link(1_000)
    tenant_id = await _tenant(world)
    edge, store = Edge(tenant_id, link.id), SlowReturns(world.store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(edge.quotas.run, store, edge.deliver)
        edge.visit()
        with trio.fail_after(10):
            await store.begun.wait()
        nursery.cancel_scope.cancel()
    rest = 0
    while lease := (await world.store.lease([(tenant_id, link.id)]))[link.id]:
        rest += lease
    assert rest == 999
