"""Snapshots for edges: whole profiles, differences and changes, in memory and in Postgres."""

import random
from collections.abc import Iterable

import asyncpg
import pytest
import trio

from engine.links import name
from engine.links.link import LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import (
    MAX_PAGE_LINKS,
    MAX_WHOLE_LINKS,
    Profile,
    ProfileChange,
    ProfileDraft,
)
from engine.links.target import MAX_TARGET_CHARS, MAX_URL_CHARS
from engine.pages.page_link import PageLink
from engine.visits.snapshot import EdgeLink, Snapshot
from storage.bridge import in_asyncio
from storage.visits import snapshots as snapshots_module
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)


def draft(slug: str, status: int = 302) -> LinkDraft:
    return LinkDraft(slug=slug, target=f"https://example.com/{len(slug)}", status=status)


async def profile_with(stores: Stores, handle: str, slugs: Iterable[str]) -> Profile:
    profile = await stores.profiles.create_profile(
        stores.caller, ProfileDraft(handle=handle, title=handle.title())
    )
    for slug in slugs:
        await stores.profiles.create_link(stores.caller, profile.id, draft(slug))
    return await stores.profiles.profile(stores.caller, profile.id)


async def import_links(stores: Stores, handle: str, count: int) -> None:
    rows = [
        ImportRow(n, handle, f"l{n:05}", f"https://example.com/{n}", f"Title {n}")
        for n in range(count)
    ]
    for start in range(0, count, 5_000):
        await stores.bulk.import_rows(stores.caller, rows[start : start + 5_000])


def by_profile(changes: list[ProfileChange] | None) -> list[ProfileChange]:
    assert changes is not None
    return sorted(changes, key=lambda change: change.profile_id)


async def test_each_kind_of_path_finds_its_profile(stores: Stores) -> None:
    demo = await profile_with(stores, "demo", ["spring", "t\u0117l"])
    paths = [
        b"/spring",
        b"/demo/spring",
        b"/@demo",
        name.encode_path("demo", "t\u0117l"),
        name.encode_path("t\u0117l"),
    ]
    snapshots = await stores.snapshots.find(paths)
    (snapshot,) = {id(each): each for each in snapshots}.values()
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.tenant_id, snapshot.profile_id) == (stores.caller.tenant_id, demo.id)
    assert (snapshot.handle, snapshot.title, snapshot.version) == ("demo", "Demo", 3)
    assert (snapshot.complete, snapshot.since, snapshot.removed) == (True, None, ())
    assert [link.slug for link in snapshot.links] == ["spring", "t\u0117l"]
    assert snapshot.links[0] == EdgeLink(
        snapshot.links[0].id, "spring", "https://example.com/6", 302, False, True
    )
    first = snapshot.page[0]
    assert first == PageLink("spring", "", "https://example.com/6", "url", first.id)
    assert first.id in {link.id for link in snapshot.links}


async def test_a_path_without_a_profile_or_link_has_no_snapshot(stores: Stores) -> None:
    await profile_with(stores, "demo", ["spring"])
    paths = [b"/demo/nothing", b"/nobody/spring", b"/nothing", b"/@nobody", b"/@demo/spring", b"/@"]
    assert await stores.snapshots.find(paths) == [None] * len(paths)
    assert await stores.snapshots.find([]) == []
    snapshots = await stores.snapshots.find([b"/demo/nothing", b"/spring"])
    assert snapshots[0] is None
    assert snapshots[1] is not None


async def test_only_the_owner_of_a_short_slug_answers_for_it(stores: Stores) -> None:
    first = await profile_with(stores, "first", ["spring"])
    second = await profile_with(stores, "second", ["spring"])
    snapshots = await stores.snapshots.find([b"/spring", b"/first/spring", b"/second/spring"])
    assert [each and each.profile_id for each in snapshots] == [first.id, first.id, second.id]
    assert [each and each.links[0].short for each in snapshots] == [True, True, False]


async def test_an_empty_profile_has_a_page(stores: Stores) -> None:
    await profile_with(stores, "empty", [])
    (snapshot,) = await stores.snapshots.find([b"/@empty"])
    assert snapshot is not None
    assert (snapshot.complete, snapshot.links, snapshot.page) == (True, (), ())


async def test_a_large_profile_has_only_the_matched_links(stores: Stores) -> None:
    await import_links(stores, "large", MAX_WHOLE_LINKS)
    (snapshot,) = await stores.snapshots.find([b"/large/l00007"])
    assert snapshot is not None
    assert (snapshot.complete, len(snapshot.links)) == (True, MAX_WHOLE_LINKS)
    await import_links(stores, "large", MAX_WHOLE_LINKS + 1)
    large = await stores.snapshots.find([b"/large/l00150", b"/l00007", b"/large/x", b"/@large"])
    assert large[0] is large[1] is large[3]
    assert large[2] is None
    assert large[0] is not None
    assert not large[0].complete
    assert [link.slug for link in large[0].links] == ["l00007", "l00150"]
    assert large[0].page == snapshot.page
    assert [link.slug for link in snapshot.page] == [f"l{n:05}" for n in range(MAX_PAGE_LINKS)]


async def test_a_profile_of_large_targets_comes_link_by_link(stores: Stores) -> None:
    """Or 500 of them, looked up at once, would fill an edge's memory."""
    heavy = await profile_with(stores, "heavy", ["a"])
    for slug in "bcdefghi":
        target = f"https://example.com/{slug * (MAX_TARGET_CHARS - 20)}"
        await stores.profiles.create_link(
            stores.caller, heavy.id, LinkDraft(slug=slug, target=target)
        )
        (found,) = await stores.snapshots.find([b"/heavy/a"])
        assert found is not None
        assert found.complete == (len(found.links) == len(found.page) < 9)
    (found,) = await stores.snapshots.find([b"/heavy/i"])
    assert found is not None
    assert [len(link.target) for link in found.links] == [MAX_TARGET_CHARS]
    assert max(len(link.target) for link in found.page) == MAX_URL_CHARS
    change = await stores.snapshots.refresh(heavy.id, found.version - 1, 10)
    assert change is not None
    assert not change.complete


async def test_links_follow_in_the_order_of_their_ids(stores: Stores) -> None:
    await import_links(stores, "large", MAX_WHOLE_LINKS + 5)
    (snapshot,) = await stores.snapshots.find([b"/@large"])
    assert snapshot is not None
    ids = (stores.caller.tenant_id, snapshot.profile_id)
    links: list[EdgeLink] = []
    for count in (100, 100, 5, 0):
        after = links[-1].id if links else 0
        batch = await stores.snapshots.following_links(*ids, after, 100)
        assert batch.version == (snapshot.version if count else 0)
        assert len(batch.links) == count
        links += batch.links
    assert sorted(link.slug for link in links) == [f"l{n:05}" for n in range(MAX_WHOLE_LINKS + 5)]
    assert [link.id for link in links] == sorted(link.id for link in links)
    (looked_up,) = await stores.snapshots.find([b"/large/l00007"])
    assert looked_up is not None
    assert set(looked_up.links) <= set(links)
    other = stores.other.tenant_id
    assert (await stores.snapshots.following_links(other, ids[1], 0, 100)).links == ()


async def test_a_difference_has_changed_and_removed_links(stores: Stores) -> None:
    profile = await profile_with(stores, "demo", ["a", "b", "c"])
    links = (await stores.profiles.list_links(stores.caller, profile.id, 0, 9)).items
    await stores.profiles.delete_link(stores.caller, links[0].id)
    await stores.profiles.update_link(stores.caller, links[2].id, draft("cc", status=301))
    difference = await stores.snapshots.refresh(profile.id, profile.version, 100)
    assert difference is not None
    assert (difference.version, difference.since, difference.complete) == (6, 4, True)
    assert [(link.id, link.slug, link.status) for link in difference.links] == [
        (links[2].id, "cc", 301)
    ]
    assert difference.removed == (links[0].id,)
    assert [link.slug for link in difference.page] == ["b", "cc"]
    nothing = await stores.snapshots.refresh(profile.id, 6, 100)
    assert nothing is not None
    assert (nothing.since, nothing.links, nothing.removed) == (6, (), ())


async def test_a_difference_that_is_too_large_is_an_incomplete_snapshot(stores: Stores) -> None:
    profile = await profile_with(stores, "demo", ["a", "b", "c"])
    for since, limit in ((1, 2), (99, 100)):
        difference = await stores.snapshots.refresh(profile.id, since, limit)
        assert difference is not None
        assert (difference.complete, difference.since, difference.links, difference.removed) == (
            False,
            None,
            (),
            (),
        )
        assert (difference.version, len(difference.page)) == (4, 3)
    difference = await stores.snapshots.refresh(profile.id, 1, 3)
    assert difference is not None
    assert len(difference.links) == 3


async def test_a_deleted_profile_has_no_difference(stores: Stores) -> None:
    profile = await profile_with(stores, "demo", ["a"])
    await stores.profiles.delete_profile(stores.caller, profile.id)
    assert await stores.snapshots.refresh(profile.id, 1, 100) is None
    assert await stores.snapshots.refresh(12345, 1, 100) is None
    assert await stores.snapshots.find([b"/a", b"/@demo"]) == [None, None]


async def test_changes_of_every_kind_are_polled(stores: Stores) -> None:
    old = await profile_with(stores, "old", [])
    none, cursor = await stores.snapshots.changes(None)
    assert none == []
    profile = await profile_with(stores, "demo", ["a", "b"])
    await stores.profiles.update_profile(stores.caller, old.id, ProfileDraft(handle="older"))
    changes, cursor = await stores.snapshots.changes(cursor)
    assert by_profile(changes) == [ProfileChange(old.id, 2), ProfileChange(profile.id, 3)]
    await stores.profiles.delete_profile(stores.caller, profile.id)
    assert (await stores.snapshots.changes(cursor))[0] == [ProfileChange(profile.id, 4, True)]
    row = ImportRow(1, "older", "x", "https://example.com/", "")
    await stores.bulk.import_rows(stores.caller, [row])
    changes, cursor = await stores.snapshots.changes(cursor)
    assert by_profile(changes) == [ProfileChange(old.id, 3), ProfileChange(profile.id, 4, True)]
    assert (await stores.snapshots.changes(cursor))[0] == []


# No change is missed, in whatever order transactions commit.


async def bump(connection: asyncpg.Connection, profile_id: int) -> None:
    await connection.execute(
        "WITH b AS (UPDATE profiles SET version = version + 1 WHERE id = $1 RETURNING version) "
        "UPDATE profile_changes SET version = b.version, xid = DEFAULT FROM b WHERE profile_id = $1",
        profile_id,
    )


async def superuser(url: str) -> asyncpg.Connection:
    return await in_asyncio(asyncpg.connect, url, server_settings={"search_path": "waypost"})


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_a_transaction_that_commits_late_is_not_missed(stores: Stores, place: str) -> None:
    slow, fast = await profile_with(stores, "slow", []), await profile_with(stores, "fast", [])
    connection = await superuser(place)
    _, cursor = await stores.snapshots.changes(None)
    await in_asyncio(connection.execute, "BEGIN")
    await in_asyncio(bump, connection, slow.id)
    for version in (2, 3):
        # These start later and commit earlier. A later poll does not repeat them.
        await stores.profiles.update_profile(
            stores.caller, fast.id, ProfileDraft(handle="fast", title=str(version))
        )
        changes, cursor = await stores.snapshots.changes(cursor)
        assert changes == [ProfileChange(fast.id, version)]
    assert await stores.snapshots.changes(cursor) == ([], cursor)
    await in_asyncio(connection.execute, "COMMIT")
    changes, cursor = await stores.snapshots.changes(cursor)
    assert changes == [ProfileChange(slow.id, 2)]
    assert (await stores.snapshots.changes(cursor))[0] == []
    await in_asyncio(connection.close)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_no_change_is_missed_among_many_writers(stores: Stores, place: str) -> None:
    ids = [(await profile_with(stores, f"p{n}", [])).id for n in range(4)]
    _, cursor = await stores.snapshots.changes(None)
    seen: list[tuple[int, int]] = []
    done = trio.Event()

    async def write(seed: int) -> None:
        dice, connection = random.Random(seed), await superuser(place)
        for _ in range(30):
            await in_asyncio(connection.execute, "BEGIN")
            await in_asyncio(bump, connection, dice.choice(ids))
            await trio.sleep(dice.random() * 0.004)
            await in_asyncio(connection.execute, "COMMIT")
        await in_asyncio(connection.close)

    async def poll() -> None:
        nonlocal cursor
        while True:
            last = done.is_set()
            changes, cursor = await stores.snapshots.changes(cursor)
            assert changes is not None
            seen.extend((change.profile_id, change.version) for change in changes)
            if last:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        async with trio.open_nursery() as writers:
            for seed in range(4):
                writers.start_soon(write, seed)
        done.set()
    for profile_id in ids:
        versions = [version for changed, version in seen if changed == profile_id]
        current = (await stores.profiles.profile(stores.caller, profile_id)).version
        assert versions == sorted(set(versions)), "polled twice, or out of order"
        assert versions[-1] == current, "missed"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_too_many_changes_and_a_restored_database_mean_all(
    stores: Stores, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "MAX_CHANGES", 2)
    _, cursor = await stores.snapshots.changes(None)
    for number in range(3):
        await profile_with(stores, f"p{number}", [])
    changes, now = await stores.snapshots.changes(cursor)
    assert changes is None
    assert (await stores.snapshots.changes(now))[0] == []
    history = now.partition(" ")[0]
    assert (await stores.snapshots.changes(f"{history} 999999999:999999999:"))[0] is None
    assert (await stores.snapshots.changes(f"1/00000002/3 {now.partition(' ')[2]}"))[0] is None


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_page_of_a_large_profile_is_read_once_a_version(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await import_links(stores, "large", MAX_WHOLE_LINKS + 1)
    (first,) = await stores.snapshots.find([b"/large/l00007"])
    assert first is not None
    with monkeypatch.context() as patch:
        broken = {"pages": "SELECT $1::bigint[], $2::bigint[], $3::int, 1 / 0"}
        patch.setattr(snapshots_module, "SQL", {**snapshots_module.SQL, **broken})
        (again,) = await stores.snapshots.find([b"/large/l00008"])
    assert again is not None
    assert again.page == first.page
    link = first.page[0]
    await stores.profiles.update_link(
        stores.caller, link.id, LinkDraft(slug=link.slug, target="https://new.example/")
    )
    (changed,) = await stores.snapshots.find([b"/large/l00007"])
    assert changed is not None
    assert changed.page[0].target == "https://new.example/"
    await stores.snapshots.changes("other-history 1:1:")
    assert not stores.snapshots._pages._pages  # type: ignore[attr-defined]
