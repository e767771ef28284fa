"""Slugs by the rules of a profile's domains: which a link gets, and which rule has to stay."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import trio

from engine.common.errors import ConflictError, InvalidError, NotFoundError
from engine.links.domain import DomainDraft, NewDomainDraft
from engine.links.link import Link, LinkDraft
from engine.links.ports import DomainStore, ImportRow, LinkChange
from engine.links.profile import ProfileDraft
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import FEATURES, SlugFeature
from engine.links.visitor_path import ParsedPath
from storage.links.domains import PostgresDomainStore
from storage.links.memory_domains import MemoryDomains
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)
GIFT = "\U0001f381"


def draft(slug: str | None, **more: Any) -> LinkDraft:
    return LinkDraft(slug=slug, target="https://example.com/", **more)


def of_slug(slug: str, **more: Any) -> Callable[[Any], LinkDraft]:
    return lambda _: draft(slug, **more)


class World(NamedTuple):
    domains: DomainStore
    stores: Stores

    async def profile(self, handle: str = "ada") -> int:
        made = await self.stores.profiles.create_profile(
            self.stores.caller, ProfileDraft(handle=handle)
        )
        return made.id

    async def domain(self, profile_id: int, host: str, *slugs: SlugFeature) -> int:
        new = NewDomainDraft(host=host, slugs=slugs)
        return (await self.domains.create_domain(self.stores.caller, profile_id, new)).id

    async def allow(self, domain_id: int, *slugs: SlugFeature) -> tuple[SlugFeature, ...]:
        changed = await self.domains.update_domain(
            self.stores.caller, domain_id, lambda _: DomainDraft(slugs=slugs)
        )
        return changed.slugs

    async def create(self, profile_id: int, slug: str | None, **more: Any) -> Link:
        created = draft(slug, **more)
        return (await self.stores.profiles.create_link(self.stores.caller, profile_id, created))[0]


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        yield World(MemoryDomains(stores.profiles), stores)
        return
    async with opened(place) as open_database:
        yield World(PostgresDomainStore(await open_database("waypost_app")), stores)


async def test_a_slug_has_what_a_domain_of_the_profile_allows(world: World) -> None:
    ada, bob = await world.profile("ada"), await world.profile("bob")
    assert (await world.create(ada, "Spring")).slug == "spring"
    for slug in ("v1.2", "docs/a", GIFT):
        with pytest.raises(InvalidError, match="slug"):
            await world.create(ada, slug)
    await world.domain(ada, "all.example.com", *FEATURES)
    spring = await world.create(ada, "Spring")
    assert (spring.slug, spring.short) == ("Spring", False)
    for slug in ("v1.2", "V1.2", "docs/a", GIFT, f"X/{GIFT}.y"):
        link = await world.create(ada, slug)
        assert (link.slug, link.short) == (slug, False)
        with pytest.raises(ConflictError, match="taken"):
            await world.create(ada, slug)
    with pytest.raises(InvalidError, match="slug"):
        await world.create(bob, "v1.2")
    assert (await world.create(bob, "Spring")).slug == "spring"


async def test_a_link_that_is_not_plain_owns_no_short_slug(world: World) -> None:
    store, me = world.stores.profiles, world.stores.caller
    ada = await world.profile()
    await world.domain(ada, "all.example.com", *FEATURES)
    with pytest.raises(InvalidError, match="short"):
        await world.create(ada, "v1.2", short=True)
    link = await world.create(ada, "spring")
    assert link.short
    as_stored = of_slug("v1.2", short=True)  # as a change of the slug alone is
    link, _ = await store.update_link(me, link.id, as_stored)
    assert (link.slug, link.short, await store.link(me, link.id)) == ("v1.2", False, link)
    with pytest.raises(InvalidError, match="short"):
        await store.update_link(me, link.id, as_stored)
    other = await world.create(await world.profile("bob"), "spring")
    assert other.short
    same, _ = await store.update_link(me, link.id, of_slug("v1.2"))
    assert same.version == link.version


async def test_case_that_is_ignored_makes_no_new_version(world: World) -> None:
    store, me = world.stores.profiles, world.stores.caller
    ada = await world.profile()
    link = await world.create(ada, "spring")
    same, _ = await store.update_link(me, link.id, of_slug("SPRING"))
    assert same == link
    similar = await store.similar_link(me, ada, draft("SPRING"))
    assert similar is not None
    assert similar.id == link.id
    await world.domain(ada, "all.example.com", "case_sensitive")
    assert await store.similar_link(me, ada, draft("SPRING")) is None
    link, _ = await store.update_link(me, link.id, of_slug("SPRING"))
    assert (link.slug, link.version) == ("SPRING", 2)


async def test_many_changes_and_external_ids_follow_the_rules(world: World) -> None:
    store, me = world.stores.profiles, world.stores.caller
    ada = await world.profile()
    await world.domain(ada, "dots.example.com", "dots")
    created = ["v1.2", "Spring", "a/b", GIFT]
    changes = [LinkChange("create", of_slug(slug)) for slug in created]
    results, _ = await store.change_links(me, ada, changes)
    assert [r.link.slug if r.link else r.error for r in results[:2]] == ["v1.2", "spring"]
    assert all(isinstance(result.error, InvalidError) for result in results[2:])
    link, _, is_new = await store.put_link(me, ada, "x", of_slug("V1.3", external_id="x"))
    assert (link.slug, is_new) == ("v1.3", True)
    link, _, is_new = await store.put_link(me, ada, "x", of_slug("V1.4", external_id="x"))
    assert (link.slug, is_new) == ("v1.4", False)
    with pytest.raises(InvalidError):
        await store.put_link(me, ada, "x", of_slug("a/b", external_id="x"))


async def test_edges_find_a_link_by_its_exact_path_only(world: World) -> None:
    ada = await world.profile()
    await world.domain(ada, "all.example.com", *FEATURES)
    links = [await world.create(ada, slug) for slug in ("v1.2", "V1.2", "docs/a", GIFT, "spring")]
    paths = [link_path("ada", link.slug) for link in links]
    snapshots = await world.stores.snapshots.find(paths)
    assert all(s is not None and s.profile_id == ada for s in snapshots)
    assert await world.stores.snapshots.find([b"/ada/v1.2", b"/~ada/spring", b"/~ada/v1.3"]) == [
        None, None, None,
    ]  # fmt: skip
    store, me, other = world.stores.profiles, world.stores.caller, world.stores.other
    for link in links:
        assert (await store.link_at(me, ParsedPath("ada", link.slug))).id == link.id
        with pytest.raises(NotFoundError):
            await store.link_at(other, ParsedPath("ada", link.slug))


async def test_a_rule_that_links_need_cannot_be_taken_away(world: World) -> None:
    me, domains = world.stores.caller, world.domains
    ada = await world.profile()
    first = await world.domain(ada, "first.example.com", *FEATURES)
    second = await world.domain(ada, "second.example.com", "dots", "slashes")
    assert await world.allow(second, "dots") == ("dots",)
    await world.create(ada, "spring")
    await world.create(ada, "t\u0117l")
    dotted = await world.create(ada, "v1.2")
    both = await world.create(ada, "Spring")
    with pytest.raises(ConflictError, match=r"slugs Spring$"):
        await world.allow(first, "dots", "slashes", "emoji")
    with pytest.raises(ConflictError, match=r"slugs Spring$"):
        await domains.delete_domain(me, first)
    assert await world.allow(first, "case_sensitive") == ("case_sensitive",)
    with pytest.raises(ConflictError, match=r"slugs v1\.2$"):
        await domains.delete_domain(me, second)
    await world.stores.profiles.delete_link(me, both.id)
    await domains.delete_domain(me, first)
    await world.stores.profiles.delete_link(me, dotted.id)
    await domains.delete_domain(me, second)


async def test_a_handle_is_not_the_first_name_of_a_slug(world: World) -> None:
    store, me = world.stores.profiles, world.stores.caller
    ada = await world.profile()
    await world.domain(ada, "all.example.com", *FEATURES)
    with pytest.raises(InvalidError, match="handle"):
        await world.create(ada, "Ada/x")
    await world.create(ada, "Bob/x")
    with pytest.raises(InvalidError, match=r"handle.*Bob/x"):
        await store.update_profile(me, ada, lambda p: ProfileDraft(handle="bob"))
    renamed = await store.update_profile(me, ada, lambda p: ProfileDraft(handle="bo"))
    assert renamed.handle == "bo"


async def test_imported_slugs_follow_the_rules(world: World) -> None:
    bulk, me = world.stores.bulk, world.stores.caller
    ada = await world.profile()
    await world.domain(ada, "all.example.com", "case_sensitive", "dots")
    rows = [
        ImportRow(line, handle, slug, "https://example.com/", "")
        for line, (handle, slug) in enumerate(
            [("ada", "Spring"), ("ada", "spring"), ("ada", "v1.2"), ("ada", "a/b"),
             ("new", "a.b"), ("fresh", "Spring"), ("fresh", "SPRING")], 1,
        )
    ]  # fmt: skip
    result = await bulk.import_rows(me, rows)
    assert result[:3] == (4, 0, 0)
    assert sorted(reject.line for reject in result.rejected) == [4, 5, 7]
    reasons = {reject.line: reject.reason for reject in result.rejected}
    assert reasons[4] == "slug must have no '/': the profile has no domain that allows it"
    assert "line 6" in reasons[7]
    profiles = (await world.stores.profiles.list_profiles(me, 0, 10)).items
    assert sorted(profile.handle for profile in profiles) == ["ada", "fresh"]
    links = (await world.stores.profiles.list_links(me, ada, 0, 10)).items
    assert {link.slug: link.short for link in links} == {
        "Spring": False, "spring": True, "v1.2": False,
    }  # fmt: skip
    assert await bulk.case_sensitive_handles(me) == {"ada"}
    assert await bulk.case_sensitive_handles(world.stores.other) == set()
    again = await bulk.import_rows(me, rows)
    assert again[:3] == (0, 0, 4)


async def test_a_rule_and_a_slug_that_needs_it_do_not_pass_each_other(world: World) -> None:
    ada = await world.profile()
    domain = await world.domain(ada, "dots.example.com", "dots")
    results: list[str] = []

    async def create() -> None:
        try:
            await world.create(ada, "v1.2")
            results.append("slug")
        except InvalidError:
            pass

    async def forbid() -> None:
        try:
            await world.allow(domain)
            results.append("rule")
        except ConflictError:
            pass

    for _ in range(5):
        results.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(create)
            nursery.start_soon(forbid)
        assert len(results) == 1, results
        page = await world.stores.profiles.list_links(world.stores.caller, ada, 0, 10)
        for link in page.items:
            await world.stores.profiles.delete_link(world.stores.caller, link.id)
        await world.allow(domain, "dots")
