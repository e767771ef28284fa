"""Imports of many links: idempotent, without harm to existing profiles and links."""

import pytest
import trio

from engine.common.errors import NotFoundError
from engine.links.link import Link, LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import ProfileChange, ProfileDraft
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)


def row(line: int, handle: str, slug: str, path: str = "", title: str = "") -> ImportRow:
    return ImportRow(line, handle, slug, f"https://example.com/{path}", title)


async def links_of(stores: Stores, profile_id: int) -> dict[str, Link]:
    page = await stores.profiles.list_links(stores.caller, profile_id, 0, 10_000)
    return {link.slug: link for link in page.items}


async def test_missing_profiles_and_links_are_created(stores: Stores) -> None:
    rows = [row(1, "a", "x"), row(2, "b", "y", title="Why"), row(3, "a", "z")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    assert result[:4] == (3, 0, 0, [])
    profiles = (await stores.profiles.list_profiles(stores.caller, 0, 10)).items
    assert {profile.handle: profile.version for profile in profiles} == {"a": 1, "b": 1}
    assert {(change.profile_id, change.version) for change in result.changes} == {
        (profile.id, 1) for profile in profiles
    }
    (b,) = (profile for profile in profiles if profile.handle == "b")
    link = (await links_of(stores, b.id))["y"]
    assert (link.target, link.title, link.status) == ("https://example.com/", "Why", 302)
    assert (link.kind, link.version, link.short) == ("url", 1, True)


async def test_the_same_rows_again_change_nothing(stores: Stores) -> None:
    rows = [row(n, f"p{n % 3}", f"s{n}", str(n), f"Title {n}") for n in range(30)]
    await stores.bulk.import_rows(stores.caller, rows)
    before = await stores.snapshots.find([b"/@p0", b"/@p1", b"/@p2"])
    _, cursor = await stores.snapshots.changes(None)
    assert await stores.bulk.import_rows(stores.caller, rows) == (0, 0, 30, [], [])
    assert await stores.snapshots.find([b"/@p0", b"/@p1", b"/@p2"]) == before
    assert (await stores.snapshots.changes(cursor))[0] == []


async def test_only_rows_that_differ_are_updated(stores: Stores) -> None:
    await stores.bulk.import_rows(
        stores.caller, [row(1, "a", "x", "1", "One"), row(2, "a", "y"), row(3, "b", "z")]
    )
    (a, b) = (await stores.profiles.list_profiles(stores.caller, 0, 10)).items
    rows = [row(1, "a", "x", "2"), row(2, "a", "y"), row(3, "b", "z"), row(4, "a", "new")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    assert result == (1, 1, 2, [], [ProfileChange(a.id, 2)])
    links = await links_of(stores, a.id)
    assert (links["x"].target, links["x"].version) == ("https://example.com/2", 2)
    assert links["x"].title == "One", "an empty title keeps the link's title"
    assert links["y"].version == 1
    assert (await stores.profiles.profile(stores.caller, b.id)).version == 1
    difference = await stores.snapshots.refresh(a.id, 1, 10)
    assert difference is not None
    assert [link.slug for link in difference.links] == ["x", "new"]


async def test_a_contact_becomes_a_web_link(stores: Stores) -> None:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="a"))
    draft = LinkDraft(slug="x", target="mailto:a@example.com", kind="mailto", status=308)
    link, _ = await stores.profiles.create_link(stores.caller, profile.id, draft)
    result = await stores.bulk.import_rows(stores.caller, [row(1, "a", "x")])
    assert result[:3] == (0, 1, 0)
    link = await stores.profiles.link(stores.caller, link.id)
    assert (link.kind, link.target, link.status) == ("url", "https://example.com/", 308)


async def test_a_link_of_an_archive_keeps_its_kind(stores: Stores) -> None:
    rows = [ImportRow(1, "a", "write", "mailto:ada@example.com", "", "mailto"), row(2, "a", "x")]
    assert (await stores.bulk.import_rows(stores.caller, rows))[:3] == (2, 0, 0)
    assert (await stores.bulk.import_rows(stores.caller, rows))[:3] == (0, 0, 2)
    (profile,) = (await stores.profiles.list_profiles(stores.caller, 0, 10)).items
    links = await links_of(stores, profile.id)
    assert {slug: link.kind for slug, link in links.items()} == {"write": "mailto", "x": "url"}


async def test_the_last_of_two_rows_wins(stores: Stores) -> None:
    rows = [row(1, "a", "x", "1"), row(2, "a", "y"), row(3, "a", "x", "3")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    assert result[:4] == (2, 0, 1, [])
    links = await links_of(stores, result.changes[0].profile_id)
    assert links["x"].target == "https://example.com/3"
    assert await stores.bulk.import_rows(stores.caller, rows) == (0, 0, 3, [], [])


async def test_the_handle_of_another_tenant_is_rejected(stores: Stores) -> None:
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    rows = [row(7, "theirs", "x"), row(8, "mine", "x"), row(9, "theirs", "y")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    assert result[:3] == (1, 0, 0)
    assert result.rejected == [
        (7, "handle: 'theirs' is taken"),
        (9, "handle: 'theirs' is taken"),
    ]
    assert len(result.changes) == 1
    assert (await stores.profiles.profile(stores.other, theirs.id)).version == 1
    with pytest.raises(NotFoundError):
        await stores.profiles.list_links(stores.caller, theirs.id, 0, 10)


async def test_a_short_slug_goes_to_the_first_link(stores: Stores) -> None:
    profile = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    draft = LinkDraft(slug="taken", target="https://example.com/")
    await stores.profiles.create_link(stores.other, profile.id, draft)
    rows = [row(1, "a", "taken"), row(2, "b", "free"), row(3, "a", "free")]
    await stores.bulk.import_rows(stores.caller, rows)
    snapshots = await stores.snapshots.find([b"/taken", b"/free", b"/a/free", b"/b/free"])
    assert snapshots[0] is not None
    assert snapshots[0].profile_id == profile.id
    owners = [each for each in snapshots[2:] if each is snapshots[1]]
    assert len(owners) == 1


async def test_an_import_may_have_no_rows(stores: Stores) -> None:
    assert await stores.bulk.import_rows(stores.caller, []) == (0, 0, 0, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_imports_at_the_same_time_add_up(stores: Stores) -> None:
    """Imports with overlapping handles and slugs in opposite orders wait; no row is lost or doubled."""
    created = 0

    async def import_backwards(start: int) -> None:
        nonlocal created
        rows = [row(n, f"p{n % 7}", f"s{n}") for n in range(start, start + 300)]
        result = await stores.bulk.import_rows(stores.caller, rows[::-1] if start % 2 else rows)
        created += result.created
        assert not result.rejected

    async with trio.open_nursery() as nursery:
        for start in (0, 101, 200, 51):
            nursery.start_soon(import_backwards, start)
    assert created == 500
    profiles = (await stores.profiles.list_profiles(stores.caller, 0, 10)).items
    assert len(profiles) == 7
    links = [await links_of(stores, profile.id) for profile in profiles]
    assert sum(map(len, links)) == 500
    assert all(link.short for each in links for link in each.values())
