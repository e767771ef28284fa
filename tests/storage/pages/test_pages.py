"""Drafts and published versions: the contract of PageStore, on Postgres and on its twin."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest

from engine.assets.asset import FORMATS, AssetDraft, Rendition, StoredPicture
from engine.assets.ports import AssetStore
from engine.common.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LostUpdateError,
    NotFoundError,
)
from engine.experiments.experiment import ExperimentDraft, Variant
from engine.experiments.ports import ExperimentStore
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.pages.blocks import (
    GalleryBlock,
    GalleryPicture,
    HeadingBlock,
    ImageBlock,
    LinkBlock,
    TextBlock,
)
from engine.pages.html.sources import PagePicture
from engine.pages.page import ProfilePage
from engine.pages.pictures import decode_pictures
from engine.pages.ports import PageStore
from engine.pages.publication import MAX_PAGE_BYTES, MAX_VERSIONS
from storage.assets.assets import PostgresAssetStore
from storage.assets.memory_assets import MemoryAssets
from storage.bridge import in_asyncio
from storage.experiments.experiments import PostgresExperimentStore
from storage.experiments.memory_counts import MemoryExperimentCounts
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.memory_profiles import MemoryProfiles
from storage.pages.memory_pages import MemoryPages
from storage.pages.pages import PostgresPageStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)


class World(NamedTuple):
    pages: PageStore
    assets: AssetStore
    stores: Stores
    profile_id: int


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        assets = MemoryAssets(stores.profiles)
        yield World(MemoryPages(stores.profiles, assets=assets), assets, stores, profile.id)
        return
    async with opened(place) as open_database:
        app = await open_database("waypost_app")
        yield World(PostgresPageStore(app), PostgresAssetStore(app), stores, profile.id)


async def fetch(url: str, statement: str) -> list[Any]:
    """Run one statement as the login user."""

    async def connected() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return await in_asyncio(connected)


def page(name: str = "Ada", *blocks: Any) -> ProfilePage:
    return ProfilePage(name=name, blocks=blocks)


async def link(world: World, slug: str, **fields: Any) -> int:
    draft = LinkDraft(slug=slug, target="https://example.com/", **fields)
    made, _ = await world.stores.profiles.create_link(world.stores.caller, world.profile_id, draft)
    return made.id


async def test_a_profile_without_a_draft_has_its_links(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    second = await link(world, "second", position=2)
    await link(world, "hidden", position=0, hidden=True)
    first = await link(world, "first", position=1)
    draft = await pages.draft(me, id_)
    assert (draft.version, draft.updated_at, draft.published) == (0, None, None)
    assert draft.page.blocks == (
        LinkBlock(id="b1", link_id=str(first)), LinkBlock(id="b2", link_id=str(second))
    )  # fmt: skip


async def test_a_draft_is_written_published_and_restored(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    profile = await world.stores.profiles.profile(me, id_)
    draft = await pages.put_draft(me, id_, page("Ada"), 0)
    assert (draft.version, draft.page.name, draft.is_changed) == (1, "Ada", True)
    assert await pages.put_draft(me, id_, page("Ada"), 1) == draft
    with pytest.raises(LostUpdateError):
        await pages.put_draft(me, id_, page("Eve"), 0)
    assert await world.stores.profiles.profile(me, id_) == profile  # visitors have the same
    version, change = await pages.publish(me, id_, 1)
    assert (version.number, version.page, version.user_id) == (1, page("Ada"), me.user_id)
    assert change.version == profile.version + 1
    assert await pages.publish(me, id_) == (version, change)  # published already
    draft = await pages.draft(me, id_)
    assert (draft.published, draft.is_changed) == (1, False)
    await pages.put_draft(me, id_, page("Bea"))
    assert (await pages.publish(me, id_))[0].number == 2
    with pytest.raises(LostUpdateError):
        await pages.restore(me, id_, 1, 1)
    draft = await pages.restore(me, id_, 1, 2)
    assert (draft.version, draft.page.name, draft.published, draft.is_changed) == (
        3,
        "Ada",
        2,
        True,
    )
    assert await pages.page_version(me, id_, 1) == version


async def test_the_last_versions_are_kept_and_listed_newest_first(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    for number in range(MAX_VERSIONS + 2):
        await pages.put_draft(me, id_, page(f"Ada {number}"))
        await pages.publish(me, id_)
    first = await pages.list_versions(me, id_, 0, 40)
    rest = await pages.list_versions(me, id_, first.next_after or 0, 40)
    numbers = [version.number for version in [*first.items, *rest.items]]
    assert numbers == list(range(MAX_VERSIONS + 2, 2, -1))
    assert rest.next_after is None
    with pytest.raises(NotFoundError):
        await pages.page_version(me, id_, 2)


async def test_a_page_names_only_links_of_its_profile(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    own = LinkBlock(id="b1", link_id=str(await link(world, "own")))
    strange = LinkBlock(id="b2", link_id=str(2**63 + 5))
    with pytest.raises(InvalidError) as refused:
        await pages.put_draft(me, id_, page("Ada", own, strange))
    assert [error.field for error in refused.value.errors] == ["blocks[1].link_id"]
    await pages.put_draft(me, id_, page("Ada", own, HeadingBlock(id="b2", text="Work")))


async def asset(world: World, number: int) -> str:
    """Create an asset. Returns its id."""
    renditions = [
        Rendition(width=width, height=width // 2, format=format_, bytes=9)
        for width in (320, 640)
        for format_ in FORMATS
    ]
    picture = StoredPicture("png", 800, 400, tuple(renditions))
    draft = AssetDraft(f"{number:032x}", "", picture)
    key = world.stores.caller, world.profile_id, draft
    await world.assets.begin(*key)
    return str((await world.assets.create(*key)).id)


async def test_a_page_keeps_its_pictures_and_names_no_others(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    face, hill, strange = [await asset(world, n) for n in (1, 2)] + ["9" * 20]
    pictures = tuple(GalleryPicture(picture=picture) for picture in (hill, strange))
    gallery = GalleryBlock(id="b1", pictures=pictures)
    with pytest.raises(InvalidError) as refused:
        await pages.put_draft(me, id_, ProfilePage(picture=face, blocks=(gallery,)))
    assert [error.field for error in refused.value.errors] == ["blocks[0].pictures[1].picture"]
    await pages.put_draft(
        me, id_, ProfilePage(picture=face, blocks=(ImageBlock(id="b1", picture=hill),))
    )
    preview = await pages.preview(me, id_)
    assert preview.pictures[face] == PagePicture(
        hash=f"{1:032x}", width=800, height=400, widths=(320, 640), formats=FORMATS
    )
    await pages.publish(me, id_)
    (snapshot,) = await world.stores.snapshots.find([b"/@ada"])
    assert snapshot is not None
    assert snapshot.published is not None
    assert decode_pictures(snapshot.published.pictures) == preview.pictures
    await pages.put_draft(me, id_, ProfilePage(picture=face))
    for picture in (face, hill):  # the published version keeps the other one
        with pytest.raises(ConflictError):
            await world.assets.delete(me, id_, int(picture))
    for number in range(MAX_VERSIONS):
        await pages.put_draft(me, id_, ProfilePage(name=str(number), picture=face))
        await pages.publish(me, id_)
    await world.assets.delete(me, id_, int(hill))
    with pytest.raises(ConflictError):
        await world.assets.delete(me, id_, int(face))


async def test_a_preview_has_what_the_draft_shows(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    shown, hidden = await link(world, "shown"), await link(world, "hidden", hidden=True)
    blocks = tuple(
        LinkBlock(id=f"b{n}", link_id=str(each)) for n, each in enumerate((shown, hidden))
    )
    await pages.put_draft(me, id_, page("Ada", *blocks))
    preview = await pages.preview(me, id_)
    assert (preview.handle, preview.page.name) == ("ada", "Ada")
    assert [each.slug for each in preview.links] == ["shown"]
    with pytest.raises(NotFoundError):
        await pages.preview(world.stores.other, id_)


async def test_a_page_is_bounded(world: World) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    blocks = [TextBlock(id=f"b{n}", text="é" * 1_000) for n in range(MAX_PAGE_BYTES // 2_000 + 2)]
    with pytest.raises(InvalidError, match="65,536"):
        await pages.put_draft(me, id_, page("Ada", *blocks))


async def test_only_members_with_the_right_role_see_and_change_pages(world: World) -> None:
    me, them, pages, id_ = world.stores.caller, world.stores.other, world.pages, world.profile_id
    await pages.put_draft(me, id_, page())
    await pages.publish(me, id_)
    for call in (
        pages.draft(them, id_), pages.put_draft(them, id_, page()), pages.publish(them, id_),
        pages.list_versions(them, id_, 0, 9), pages.page_version(them, id_, 1),
        pages.restore(them, id_, 1),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    reader = me._replace(scopes=("read",))
    assert (await pages.draft(reader, id_)).version == 1
    for call in (
        pages.put_draft(reader, id_, page()), pages.publish(reader, id_),
        pages.restore(reader, id_, 1),
    ):  # fmt: skip
        with pytest.raises(ForbiddenError):
            await call


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_changes_are_logged_without_the_page_and_published_ones_are_events(
    world: World, place: str
) -> None:
    me, pages, id_ = world.stores.caller, world.pages, world.profile_id
    await fetch(
        place,
        "INSERT INTO waypost.webhooks (tenant_id, profile_id, url, event_types, slot) VALUES "
        f"({me.tenant_id}, {id_}, 'https://example.com/', '{{page.published}}', 1)",
    )
    await pages.put_draft(me, id_, page("Ada"))
    await pages.put_draft(me, id_, page("Bea"))
    await pages.publish(me, id_)
    rows = await fetch(
        place, "SELECT action, before::text, after::text FROM waypost.audit_log ORDER BY seq"
    )
    assert [row[0] for row in rows if row[0].startswith("page")] == [
        "page.created", "page.updated", "page.published",
    ]  # fmt: skip
    assert "Ada" not in str(rows)
    assert "Bea" not in str(rows)
    events = await fetch(place, "SELECT type, data ->> 'version' FROM waypost.events")
    assert [tuple(event) for event in events] == [("page.published", "1")]
    await world.stores.profiles.delete_profile(me, id_)
    assert await fetch(place, "SELECT FROM waypost.audit_log WHERE action = 'page.deleted'") == []


async def test_edges_get_the_pictures_of_variants(world: World, place: str) -> None:
    me, id_ = world.stores.caller, world.profile_id
    link_id, picture = await link(world, "spring"), await asset(world, 1)
    async with opened(place) as open_database:
        experiments: ExperimentStore
        if place:
            experiments = PostgresExperimentStore(await open_database("waypost_app"))
        else:
            assert isinstance(world.stores.profiles, MemoryProfiles)
            experiments = MemoryExperimentStore(world.stores.profiles, MemoryExperimentCounts())
        plain = Variant(name="a", weight=1)
        for shown, is_known in (("9" * 30, False), (picture, True)):
            variants = plain, Variant(name="b", weight=1, picture=shown)
            draft = ExperimentDraft(name="x", kind="page", variants=variants, link_id=link_id)
            if is_known:
                await experiments.create_experiment(me, id_, draft)
                continue
            with pytest.raises(InvalidError) as refused:
                await experiments.create_experiment(me, id_, draft)
            assert [error.field for error in refused.value.errors] == ["variants.1.picture"]
    (snapshot,) = await world.stores.snapshots.find([b"/@ada"])
    assert snapshot is not None
    pictures = decode_pictures(snapshot.pictures)
    assert {key: value.hash for key, value in pictures.items()} == {picture: f"{1:032x}"}
    difference = await world.stores.snapshots.refresh(id_, 1, 100)
    assert difference is not None
    assert difference.pictures == snapshot.pictures
