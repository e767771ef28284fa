"""Profiles and links: one contract, in memory and in Postgres."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from engine.common.errors import ConflictError, LostUpdateError, NotFoundError
from engine.links.link import Link, LinkDraft
from engine.links.profile import Profile, ProfileChange, ProfileDraft
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)

DEMO = ProfileDraft(handle="demo", title="Démo")
SPRING = LinkDraft(slug="spring", target="https://example.com/", title="Spring")


def changed(draft: LinkDraft, **fields: object) -> LinkDraft:
    return msgspec.structs.replace(draft, **fields)


async def demo(stores: Stores, handle: str = "demo") -> Profile:
    return await stores.profiles.create_profile(stores.caller, ProfileDraft(handle=handle))


async def demo_link(stores: Stores, **fields: object) -> tuple[Profile, Link]:
    profile = await demo(stores)
    link, _ = await stores.profiles.create_link(
        stores.caller, profile.id, changed(SPRING, **fields)
    )
    return profile, link


async def test_a_profile_is_read_as_it_was_created(stores: Stores) -> None:
    created = await stores.profiles.create_profile(stores.caller, DEMO)
    assert (created.handle, created.title, created.version) == ("demo", "Démo", 1)
    assert created.tenant_id == stores.caller.tenant_id
    assert created.created_at.utcoffset() is not None
    assert await stores.profiles.profile(stores.caller, created.id) == created


async def test_a_handle_is_unique_across_tenants(stores: Stores) -> None:
    await demo(stores)
    for caller in (stores.caller, stores.other):
        with pytest.raises(ConflictError) as caught:
            await stores.profiles.create_profile(caller, DEMO)
        assert caught.value.field == "handle"


async def test_a_list_continues_after_the_last_id(stores: Stores) -> None:
    ids = [(await demo(stores, f"p{number}")).id for number in range(5)]
    assert ids == sorted(ids)
    await stores.profiles.create_profile(stores.other, DEMO)
    first = await stores.profiles.list_profiles(stores.caller, 0, 3)
    assert ([p.id for p in first.items], first.next_after) == (ids[:3], ids[2])
    rest = await stores.profiles.list_profiles(stores.caller, ids[2], 2)
    assert ([p.id for p in rest.items], rest.next_after) == (ids[3:], None)
    assert await stores.profiles.list_profiles(stores.caller, 2**70, 2) == ([], None)


async def test_a_list_says_the_caller_s_role_and_may_be_of_one_handle(stores: Stores) -> None:
    profile = await demo(stores)
    await demo(stores, "other")
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    page = await stores.profiles.list_profiles(stores.caller, 0, 10, profile.handle)
    assert [(each.id, each.role) for each in page.items] == [(profile.id, "owner")]
    assert (await stores.profiles.list_profiles(stores.caller, 0, 10, theirs.handle)).items == []


async def test_an_update_makes_a_version(stores: Stores) -> None:
    profile = await demo(stores)
    updated = await stores.profiles.update_profile(stores.caller, profile.id, DEMO, if_version=1)
    assert (updated.title, updated.version) == ("Démo", 2)
    assert updated.updated_at >= profile.updated_at
    assert await stores.profiles.profile(stores.caller, profile.id) == updated


async def test_an_update_that_changes_nothing_makes_no_version(stores: Stores) -> None:
    profile, link = await demo_link(stores)
    _, before = await stores.snapshots.changes(None)
    same = ProfileDraft(handle="demo")
    unchanged = await stores.profiles.update_profile(stores.caller, profile.id, same)
    assert unchanged.version == 2
    assert await stores.profiles.update_link(stores.caller, link.id, SPRING) == (
        link,
        ProfileChange(profile.id, 2),
    )
    changes, _ = await stores.snapshots.changes(before)
    assert changes == []


async def test_an_older_version_is_not_overwritten(stores: Stores) -> None:
    profile, link = await demo_link(stores)
    with pytest.raises(LostUpdateError):
        await stores.profiles.update_profile(stores.caller, profile.id, DEMO, if_version=1)
    with pytest.raises(LostUpdateError):
        await stores.profiles.delete_profile(stores.caller, profile.id, if_version=1)
    other = changed(SPRING, target="https://example.org/")
    await stores.profiles.update_link(stores.caller, link.id, other, if_version=1)
    with pytest.raises(LostUpdateError):
        await stores.profiles.update_link(stores.caller, link.id, SPRING, if_version=1)
    with pytest.raises(LostUpdateError):
        await stores.profiles.delete_link(stores.caller, link.id, if_version=1)
    assert (await stores.profiles.link(stores.caller, link.id)).target == "https://example.org/"


async def test_a_handle_can_be_changed_and_taken_again(stores: Stores) -> None:
    profile = await demo(stores)
    await stores.profiles.update_profile(stores.caller, profile.id, ProfileDraft(handle="new"))
    await stores.profiles.create_profile(stores.other, DEMO)
    with pytest.raises(ConflictError):
        await stores.profiles.update_profile(stores.caller, profile.id, DEMO)
    assert (await stores.profiles.profile(stores.caller, profile.id)).handle == "new"


async def test_a_deleted_profile_is_gone_with_its_links(stores: Stores) -> None:
    profile, link = await demo_link(stores)
    deleted = await stores.profiles.delete_profile(stores.caller, profile.id, if_version=2)
    assert (deleted.id, deleted.handle, deleted.version) == (profile.id, "demo", 3)
    with pytest.raises(NotFoundError):
        await stores.profiles.profile(stores.caller, profile.id)
    with pytest.raises(NotFoundError):
        await stores.profiles.link(stores.caller, link.id)
    _, again = await demo_link(stores)
    assert again.short


@pytest.mark.parametrize("owner", ["other tenant's", "unknown", "too large"])
async def test_profiles_and_links_of_others_are_not_found(stores: Stores, owner: str) -> None:
    profile, link = await demo_link(stores)
    caller = stores.other if owner == "other tenant's" else stores.caller
    profile_id, link_id = {
        "other tenant's": (profile.id, link.id),
        "unknown": (12345, 12345),
        "too large": (2**63, 2**80),
    }[owner]
    store = stores.profiles
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: store.profile(caller, profile_id),
        lambda: store.update_profile(caller, profile_id, DEMO),
        lambda: store.delete_profile(caller, profile_id),
        lambda: store.create_link(caller, profile_id, changed(SPRING, slug="new")),
        lambda: store.list_links(caller, profile_id, 0, 10),
        lambda: store.link(caller, link_id),
        lambda: store.update_link(caller, link_id, SPRING),
        lambda: store.delete_link(caller, link_id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            await attempt()
    assert await store.link(stores.caller, link.id) == link


async def test_a_link_is_read_as_it_was_created(stores: Stores) -> None:
    profile = await demo(stores)
    draft = LinkDraft(
        slug="tėl", target="tel:+390123", title="Ring", status=308, kind="tel", passthrough=True
    )
    link, change = await stores.profiles.create_link(stores.caller, profile.id, draft)
    assert change == ProfileChange(profile.id, 2)
    assert (link.slug, link.target, link.title) == ("tėl", "tel:+390123", "Ring")
    assert (link.status, link.kind, link.passthrough) == (308, "tel", True)
    assert (link.profile_id, link.version, link.short) == (profile.id, 1, True)
    assert await stores.profiles.link(stores.caller, link.id) == link
    assert await stores.profiles.list_links(stores.caller, profile.id, 0, 10) == ([link], None)


async def test_links_are_listed_page_by_page(stores: Stores) -> None:
    profile = await demo(stores)
    links = [
        (await stores.profiles.create_link(stores.caller, profile.id, changed(SPRING, slug=s)))[0]
        for s in "edcba"
    ]
    page = await stores.profiles.list_links(stores.caller, profile.id, 0, 3)
    assert page == (links[:3], links[2].id)
    page = await stores.profiles.list_links(stores.caller, profile.id, links[2].id, 3)
    assert page == (links[3:], None)


async def test_a_slug_is_unique_in_its_profile(stores: Stores) -> None:
    profile, _ = await demo_link(stores)
    with pytest.raises(ConflictError) as caught:
        await stores.profiles.create_link(stores.caller, profile.id, SPRING)
    assert caught.value.field == "slug"
    second, _ = await stores.profiles.create_link(
        stores.caller, profile.id, changed(SPRING, slug="two")
    )
    with pytest.raises(ConflictError) as caught:
        await stores.profiles.update_link(stores.caller, second.id, SPRING)
    assert caught.value.field == "slug"
    # The failed changes made no version.
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 3


async def test_a_short_slug_is_first_come_first_served(stores: Stores) -> None:
    _, first = await demo_link(stores)
    assert first.short
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    with pytest.raises(ConflictError) as caught:
        await stores.profiles.create_link(stores.other, theirs.id, changed(SPRING, short=True))
    assert caught.value.field == "short"
    second, _ = await stores.profiles.create_link(stores.other, theirs.id, SPRING)
    assert not second.short
    with pytest.raises(ConflictError):
        await stores.profiles.update_link(stores.other, second.id, changed(SPRING, short=True))
    await stores.profiles.delete_link(stores.caller, first.id)
    second, _ = await stores.profiles.update_link(
        stores.other, second.id, changed(SPRING, short=True)
    )
    assert (second.short, second.version) == (True, 2)


async def test_a_short_slug_can_be_declined_and_released(stores: Stores) -> None:
    profile, link = await demo_link(stores, short=False)
    assert not link.short
    link, _ = await stores.profiles.update_link(stores.caller, link.id, changed(SPRING, short=True))
    assert link.short
    link, change = await stores.profiles.update_link(
        stores.caller, link.id, changed(SPRING, short=False)
    )
    assert (link.short, link.version, change) == (False, 3, ProfileChange(profile.id, 4))
    assert await stores.profiles.link(stores.caller, link.id) == link


async def test_a_short_slug_follows_its_link(stores: Stores) -> None:
    profile, link = await demo_link(stores)
    two = await demo(stores, "two")
    await stores.profiles.create_link(stores.caller, two.id, changed(SPRING, slug="taken"))
    link, _ = await stores.profiles.update_link(stores.caller, link.id, changed(SPRING, slug="new"))
    assert (link.slug, link.short) == ("new", True)
    snapshots = await stores.snapshots.find([b"/new", b"/spring"])
    assert snapshots[0] is not None
    assert snapshots[1] is None
    # Without `short`, a taken slug is not claimed.
    link, _ = await stores.profiles.update_link(
        stores.caller, link.id, changed(SPRING, slug="taken")
    )
    assert (link.slug, link.short) == ("taken", False)
    with pytest.raises(ConflictError):
        await stores.profiles.update_link(
            stores.caller, link.id, changed(SPRING, slug="taken", short=True)
        )
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 4


async def test_every_change_of_a_link_is_a_version_of_its_profile(stores: Stores) -> None:
    profile, link = await demo_link(stores)
    _, change = await stores.profiles.update_link(
        stores.caller, link.id, changed(SPRING, status=301)
    )
    assert change == ProfileChange(profile.id, 3)
    assert await stores.profiles.delete_link(stores.caller, link.id, if_version=2) == ProfileChange(
        profile.id, 4
    )
    with pytest.raises(NotFoundError):
        await stores.profiles.link(stores.caller, link.id)
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 4


async def test_an_api_key_opens_its_own_tenant_only(stores: Stores) -> None:
    key = await stores.keys.authenticate(stores.api_key)
    assert key is not None
    assert key == stores.caller._replace(key_id=key.key_id)
    for wrong in ("", "wp_", stores.api_key[:-1], "ключ", "x" * 10_000, "wp_\0", "\ud800"):
        assert await stores.keys.authenticate(wrong) is None
