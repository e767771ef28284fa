"""Imports of many links: idempotent, without harm to existing profiles and links."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from engine.common.errors import NotFoundError
from engine.links.imports.row_error import RowReject
from engine.links.link import Link, LinkDraft
from engine.links.options import Utm
from engine.links.ports import ImportRow
from engine.links.profile import ProfileChange, ProfileDraft
from engine.links.rules import LinkRule, RuleConditions
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


async def test_the_second_of_two_rows_is_rejected_and_names_the_first(stores: Stores) -> None:
    rows = [row(1, "a", "x", "1"), row(2, "a", "y"), row(3, "a", "x", "3")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    rejected = [RowReject(3, "slug 'x' of a is that of line 1, too", 1)]
    assert result[:4] == (2, 0, 0, rejected)
    links = await links_of(stores, result.changes[0].profile_id)
    assert links["x"].target == "https://example.com/1"
    assert await stores.bulk.import_rows(stores.caller, rows) == (0, 0, 2, rejected, [])


async def test_an_address_that_a_file_has_twice_changes_no_link(stores: Stores) -> None:
    await stores.bulk.import_rows(stores.caller, [row(1, "a", "x", "1")])
    other = row(1, "a", "x", "2")._replace(other_line=9)
    result = await stores.bulk.import_rows(stores.caller, [other])
    assert result == (0, 0, 0, [RowReject(1, "slug 'x' of a is that of line 9, too", 9)], [])


FIELDS: Mapping[str, Any] = {
    "status": 308, "passthrough": True, "click_id": True, "short": False, "external_id": "7",
    "tags": ("one", "two"), "folder": "Shop", "notes": "a\r\nb", "hidden": True, "position": 4,
    "password": "$argon2id$x", "opening_clicks": 41, "paused": True, "paused_reason": "why",
    "click_limit": 9, "fallback_target": "https://example.com/f", "utm": Utm(source="bio"),
    "active_until": datetime(2027, 1, 1, tzinfo=UTC), "noindex": True,
    "rules": (LinkRule(when=RuleConditions(device=("phone",)), target="https://example.com/p"),),
}  # fmt: skip


async def test_every_field_of_a_link_is_written_and_stays_where_a_row_has_none(
    stores: Stores,
) -> None:
    created_at = datetime(2020, 1, 2, 3, 4, 5, 678_000, UTC)
    full = row(1, "a", "x", title="T")._replace(fields=FIELDS, created_at=created_at)
    result = await stores.bulk.import_rows(stores.caller, [full, row(2, "a", "plain")])
    assert result[:4] == (2, 0, 0, [])
    profile_id = result.changes[0].profile_id
    link = (await links_of(stores, profile_id))["x"]
    assert {name: getattr(link, name) for name in FIELDS} == FIELDS
    assert link.created_at == created_at
    assert (await stores.bulk.import_rows(stores.caller, [full]))[:3] == (0, 0, 1)
    changed = row(1, "a", "x", "new")._replace(fields={"hidden": False})
    assert (await stores.bulk.import_rows(stores.caller, [changed]))[:3] == (0, 1, 0)
    link = (await links_of(stores, profile_id))["x"]
    assert {name: getattr(link, name) for name in FIELDS} == {**FIELDS, "hidden": False}
    assert (link.title, link.created_at) == ("T", created_at)


async def test_an_external_id_is_that_of_one_link(stores: Stores) -> None:
    def with_id(line: int, slug: str) -> ImportRow:
        return row(line, "a", slug)._replace(fields={"external_id": "7"})

    result = await stores.bulk.import_rows(stores.caller, [with_id(1, "x"), with_id(2, "y")])
    assert result[:4] == (1, 0, 0, [RowReject(2, "external_id '7' is that of line 1, too", 1)])
    result = await stores.bulk.import_rows(stores.caller, [with_id(5, "z"), with_id(6, "x")])
    assert result[:4] == (0, 0, 1, [RowReject(5, "external_id is that of the link 'x'")])


async def test_a_dry_run_and_a_refused_change_change_nothing(stores: Stores) -> None:
    rows = [row(1, "a", "x"), row(2, "b", "y")]
    result = await stores.bulk.import_rows(stores.caller, rows, dry_run=True)
    assert result == (2, 0, 0, [], [])
    assert (await stores.profiles.list_profiles(stores.caller, 0, 10)).items == []
    await stores.bulk.import_rows(stores.caller, rows)
    changed = [row(1, "a", "x", "new"), row(2, "b", "y")]
    result = await stores.bulk.import_rows(stores.caller, changed, "reject")
    reason = "slug 'x' is that of an existing link with other values"
    assert result == (0, 0, 1, [RowReject(1, reason)], [])


async def test_the_handle_of_another_tenant_is_rejected(stores: Stores) -> None:
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    rows = [row(7, "theirs", "x"), row(8, "mine", "x"), row(9, "theirs", "y")]
    result = await stores.bulk.import_rows(stores.caller, rows)
    assert result[:3] == (1, 0, 0)
    assert result.rejected == [
        RowReject(7, "handle: 'theirs' is taken"),
        RowReject(9, "handle: 'theirs' is taken"),
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
