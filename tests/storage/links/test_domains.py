"""Domains: created, changed, deleted, verified, and one holder of a host; in memory and in Postgres."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.common.errors import ConflictError, LostUpdateError, NotFoundError
from engine.links.domain import (
    MAX_DOMAINS,
    DomainDraft,
    NewDomainDraft,
    TxtAnswer,
    look_result,
    record_value,
)
from engine.links.ports import DomainLookStore, DomainStore
from engine.links.profile import ProfileDraft
from storage.links.domain_looks import PostgresDomainLookStore
from storage.links.domains import PostgresDomainStore
from storage.links.memory_domains import MemoryDomains
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)
HOST = NewDomainDraft(host="links.example.com", root_target="https://example.com/")


class World(NamedTuple):
    domains: DomainStore
    looks: DomainLookStore
    stores: Stores

    async def profile(self, caller: Any, handle: str) -> int:
        return (await self.stores.profiles.create_profile(caller, ProfileDraft(handle=handle))).id

    async def look(self, *right: str) -> None:
        """Look at all due domains; those with these tokens have their record."""
        due = await self.looks.claim(100)
        texts = tuple(map(record_value, right))
        await self.looks.record([look_result(domain, TxtAnswer(texts)) for domain in due])


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        memory = MemoryDomains(stores.profiles)
        yield World(memory, memory, stores)
        return
    async with opened(place) as open_database:
        yield World(
            PostgresDomainStore(await open_database("waypost_app")),
            PostgresDomainLookStore(await open_database("waypost_aggregator")),
            stores,
        )


async def test_a_domain_is_created_changed_listed_and_deleted(world: World) -> None:
    me, them, store = world.stores.caller, world.stores.other, world.domains
    profile_id = await world.profile(me, "ada")
    domain = await store.create_domain(me, profile_id, HOST)
    assert (domain.state, domain.host, domain.version) == ("pending", HOST.host, 1)
    assert len(domain.token) == 32
    assert await store.domain(me, domain.id) == domain
    assert await store.list_domains(me, profile_id, 0, 10) == ([domain], None)

    def lost(stored: Any) -> DomainDraft:
        return DomainDraft(not_found_target="https://example.com/lost")

    with pytest.raises(LostUpdateError):
        await store.update_domain(me, domain.id, lost, 7)
    changed = await store.update_domain(me, domain.id, lost, 1)
    assert (changed.root_target, changed.not_found_target) == (None, "https://example.com/lost")
    assert changed.version == (await store.update_domain(me, domain.id, lost)).version == 2
    for call in (
        store.domain(them, domain.id), store.delete_domain(them, domain.id),
        store.update_domain(them, domain.id, lost), store.look_again(them, domain.id),
        store.create_domain(them, profile_id, HOST), store.list_domains(them, profile_id, 0, 9),
        store.domain(me, domain.id + 1),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    await store.delete_domain(me, domain.id)
    with pytest.raises(NotFoundError):
        await store.domain(me, domain.id)


async def test_a_profile_has_a_bounded_number_of_domains_and_a_tenant_a_host_once(
    world: World,
) -> None:
    me = world.stores.caller
    profile_id, other_id = await world.profile(me, "ada"), await world.profile(me, "bob")
    for number in range(MAX_DOMAINS):
        draft = NewDomainDraft(host=f"d{number}.example.com")
        last = await world.domains.create_domain(me, profile_id, draft)
    with pytest.raises(ConflictError, match="20"):
        await world.domains.create_domain(me, profile_id, HOST)
    with pytest.raises(ConflictError, match="already"):
        await world.domains.create_domain(me, other_id, draft)
    await world.domains.delete_domain(me, last.id)
    await world.domains.create_domain(me, other_id, draft)
    await world.domains.create_domain(me, profile_id, HOST)


async def test_a_record_verifies_its_domain_and_no_other(world: World) -> None:
    me, store = world.stores.caller, world.domains
    profile_id = await world.profile(me, "ada")
    domain = await store.create_domain(me, profile_id, HOST)
    await world.look("0" * 32)
    pending = await store.domain(me, domain.id)
    assert (pending.state, pending.version) == ("pending", 1)
    assert "another value" in pending.reason
    assert pending.next_check_at is not None
    assert not await store.is_verified(HOST.host)
    assert await world.looks.claim(10) == []

    await store.look_again(me, domain.id)
    await world.look(domain.token)
    verified = await store.domain(me, domain.id)
    assert (verified.state, verified.reason, verified.version) == ("verified", "", 2)
    assert verified.verified_at is not None
    assert await store.is_verified(HOST.host)
    await world.stores.profiles.delete_profile(me, profile_id)
    assert not await store.is_verified(HOST.host)


async def test_a_host_has_one_verified_domain_and_passes_on_once_its_record_is_gone(
    world: World,
) -> None:
    me, them, store = world.stores.caller, world.stores.other, world.domains
    mine = await store.create_domain(me, await world.profile(me, "ada"), HOST)
    await world.look(mine.token)
    theirs = await store.create_domain(them, await world.profile(them, "bob"), HOST)
    await world.look(mine.token, theirs.token)
    assert (await store.domain(me, mine.id)).state == "verified"
    assert (await store.domain(them, theirs.id)).state == "pending"
    assert "another account" in (await store.domain(them, theirs.id)).reason

    # The look at theirs has made mine due.
    due = await world.looks.claim(10)
    assert [domain.id for domain in due] == [mine.id]
    gone = [look_result(domain._replace(failures=99), TxtAnswer()) for domain in due]
    await world.looks.record(gone)
    failed = await store.domain(me, mine.id)
    assert (failed.state, failed.next_check_at) == ("failed", None)
    await store.look_again(them, theirs.id)
    await world.look(theirs.token)
    assert (await store.domain(them, theirs.id)).state == "verified"


async def test_a_look_at_a_domain_that_is_deleted_meanwhile_changes_nothing(world: World) -> None:
    me = world.stores.caller
    domain = await world.domains.create_domain(me, await world.profile(me, "ada"), HOST)
    due = await world.looks.claim(10)
    await world.domains.delete_domain(me, domain.id)
    answer = TxtAnswer((record_value(domain.token),))
    await world.looks.record([look_result(each, answer) for each in due])
    assert not await world.domains.is_verified(msgspec.structs.asdict(domain)["host"])


async def test_members_learn_whose_links_answer_at_a_verified_domain(world: World) -> None:
    me, them, store = world.stores.caller, world.stores.other, world.domains
    profile_id = await world.profile(me, "ada")
    new = NewDomainDraft(host="links.example.com", slugs=("dots",))
    domain = await store.create_domain(me, profile_id, new)
    with pytest.raises(NotFoundError):
        await store.domain_at(me, domain.host)
    await world.look(domain.token)
    assert await store.domain_at(me, domain.host) == ("ada", frozenset({"dots"}))
    for caller, host in ((them, domain.host), (me, "other.example.com"), (me, "")):
        with pytest.raises(NotFoundError):
            await store.domain_at(caller, host)
