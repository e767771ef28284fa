"""Assets: created, listed, deleted, limited, and what the collector may claim; in memory and in Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

import storage.assets.assets as postgres_assets
from engine.accounts.access import Action, Caller
from engine.assets.asset import KEPT_S, AssetDraft, Rendition, StoredPicture, asset_hash
from engine.assets.ports import AssetStore, UnusedFiles, UnusedFilesStore
from engine.common.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from engine.links.profile import ProfileDraft
from storage.accounts.access import enter_profile
from storage.assets.assets import PostgresAssetStore, keep_page_assets
from storage.assets.memory_assets import MemoryAssets
from storage.assets.unused import PostgresUnusedFilesStore
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)
PICTURE = StoredPicture(
    "jpeg", 640, 480, (Rendition(width=640, height=480, format="webp", bytes=1000),)
)

EXPIRE = "UPDATE asset_files SET writable_until = now()"


class World(NamedTuple):
    """`put` has a page (by its version) keep assets, and returns those that exist. `expire` lets
    KEPT_S pass."""

    assets: AssetStore
    unused: UnusedFilesStore
    stores: Stores
    put: Callable[[int, int, list[int]], Awaitable[set[int]]]
    expire: Callable[[], Awaitable[None]]

    async def profile(self, handle: str = "ada") -> int:
        draft = ProfileDraft(handle=handle)
        return (await self.stores.profiles.create_profile(self.stores.caller, draft)).id

    async def draft(self, profile_id: int, content: bytes = b"a", name: str = "") -> AssetDraft:
        tenant_id = await self.assets.enter(self.stores.caller, profile_id)
        return AssetDraft(asset_hash(tenant_id, content), name, PICTURE)

    async def add(self, profile_id: int, content: bytes = b"a", name: str = "") -> int:
        draft = await self.draft(profile_id, content, name)
        await self.assets.begin(self.stores.caller, profile_id, draft)
        return (await self.assets.create(self.stores.caller, profile_id, draft)).id


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        times = [datetime(2026, 3, 1, tzinfo=UTC)]
        memory = MemoryAssets(stores.profiles, lambda: times[0])

        async def expire_in_memory() -> None:
            times[0] += timedelta(seconds=KEPT_S)

        async def put_in_memory(profile_id: int, version: int, ids: list[int]) -> set[int]:
            memory.on_pages = set(ids)
            return set(ids)

        yield World(memory, memory, stores, put_in_memory, expire_in_memory)
        return
    async with opened(place) as open_database:
        app = await open_database("waypost_app")

        async def put(profile_id: int, version: int, ids: list[int]) -> set[int]:
            async def work(connection: Connection) -> set[int]:
                access = await enter_profile(connection, stores.caller, profile_id, Action.EDIT)
                return await keep_page_assets(connection, access, version, ids)

            return await app.transaction(work, caller=stores.caller)

        async def expire() -> None:
            await app.transaction(
                lambda connection: connection.execute(EXPIRE), caller=stores.caller
            )

        unused = PostgresUnusedFilesStore(await open_database("waypost_aggregator"))
        yield World(PostgresAssetStore(app), unused, stores, put, expire)


async def claimed(world: World) -> list[UnusedFiles]:
    """Return what may be claimed once no upload can be writing any more."""
    await world.expire()
    return await world.unused.claim(10)


async def test_an_asset_is_created_read_listed_and_deleted(world: World) -> None:
    me, them, store = world.stores.caller, world.stores.other, world.assets
    profile_id = await world.profile()
    first, second = [
        await world.add(profile_id, name.encode(), name) for name in ("a.png", "b.png")
    ]
    asset = await store.asset(me, profile_id, first)
    assert (asset.name, asset.content_type, asset.bytes) == ("a.png", "image/jpeg", 1000)
    assert (asset.width, asset.height, asset.renditions) == (640, 480, PICTURE.renditions)
    newest = await store.list_assets(me, profile_id, 0, 1)
    assert [item.id for item in newest.items] == [second]
    older = await store.list_assets(me, profile_id, second, 10)
    assert [item.id for item in older.items] == [first]
    draft = await world.draft(profile_id)
    for call in (
        store.enter(them, profile_id), store.asset(them, profile_id, first),
        store.list_assets(them, profile_id, 0, 10), store.delete(them, profile_id, first),
        store.begin(them, profile_id, draft), store.create(them, profile_id, draft),
        store.existing(them, profile_id, asset.hash), store.asset(me, profile_id, 2**62),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    await store.delete(me, profile_id, first)
    with pytest.raises(NotFoundError):
        await store.delete(me, profile_id, first)


async def test_a_key_that_may_only_read_creates_nothing(world: World) -> None:
    profile_id = await world.profile()
    asset_id = await world.add(profile_id)
    reader: Caller = world.stores.caller._replace(scopes=("read",))
    assert (await world.assets.asset(reader, profile_id, asset_id)).id == asset_id
    for call in (
        world.assets.enter(reader, profile_id),
        world.assets.delete(reader, profile_id, asset_id),
    ):
        with pytest.raises(ForbiddenError):
            await call


async def test_equal_pictures_are_one_asset_and_one_set_of_files(world: World) -> None:
    me, store = world.stores.caller, world.assets
    one, two = await world.profile("one"), await world.profile("two")
    asset_id = await world.add(one)
    assert await world.add(one) == asset_id
    draft = await world.draft(two)
    assert await store.existing(me, two, draft.hash) == PICTURE
    assert await store.begin(me, two, draft)
    other = await store.create(me, two, draft)
    assert other.id != asset_id
    assert await store.existing(me, two, draft.hash) == other
    await store.delete(me, one, asset_id)
    assert await world.unused.claim(10) == []
    await store.delete(me, two, other.id)
    tenant_id = await store.enter(me, one)
    assert await claimed(world) == [UnusedFiles(tenant_id, draft.hash)]


async def test_files_of_an_upload_that_did_not_end_are_claimed_once_and_forgotten(
    world: World,
) -> None:
    me, store = world.stores.caller, world.assets
    profile_id = await world.profile()
    draft = await world.draft(profile_id)
    assert not await store.begin(me, profile_id, draft)
    files = await claimed(world)
    assert [file.hash for file in files] == [draft.hash]
    # Until they are gone, no upload uses them, and no other collector takes them.
    assert await world.unused.claim(10) == []
    assert await store.existing(me, profile_id, draft.hash) is None
    with pytest.raises(UnavailableError):
        await store.begin(me, profile_id, draft)
    with pytest.raises(UnavailableError):
        await store.create(me, profile_id, draft)
    await world.unused.forget(files)
    assert not await store.begin(me, profile_id, draft)
    assert (await store.create(me, profile_id, draft)).hash == draft.hash


async def test_files_that_an_upload_may_be_writing_are_kept(world: World) -> None:
    profile_id = await world.profile()
    asset_id = await world.add(profile_id)
    await world.assets.delete(world.stores.caller, profile_id, asset_id)
    assert await world.unused.claim(10) == []


async def test_a_deleted_profile_leaves_its_files_to_the_collector(world: World) -> None:
    profile_id = await world.profile()
    asset_id = await world.add(profile_id)
    await world.put(profile_id, 0, [asset_id])
    await world.stores.profiles.delete_profile(world.stores.caller, profile_id)
    assert len(await claimed(world)) == 1


async def test_an_asset_of_a_page_cannot_be_deleted(world: World) -> None:
    me, store = world.stores.caller, world.assets
    profile_id = await world.profile()
    asset_id = await world.add(profile_id)
    assert await world.put(profile_id, 0, [asset_id]) == {asset_id}
    with pytest.raises(ConflictError) as raised:
        await store.delete(me, profile_id, asset_id)
    assert raised.value.field == "asset"
    assert await world.put(profile_id, 0, []) == set()
    await store.delete(me, profile_id, asset_id)


async def test_an_asset_says_which_versions_have_it_and_a_profile_what_it_uses(
    world: World,
) -> None:
    profile_id, caller = await world.profile(), world.stores.caller
    assert await world.assets.usage(caller, profile_id) == (0, 0)
    asset_id = await world.add(profile_id)
    assert (await world.assets.asset(caller, profile_id, asset_id)).page_versions == ()
    await world.put(profile_id, 0, [asset_id])
    asset = await world.assets.asset(caller, profile_id, asset_id)
    assert asset.page_versions == (0,)
    assert (await world.assets.list_assets(caller, profile_id, 0, 9)).items == [asset]
    assert await world.assets.usage(caller, profile_id) == (1, 1000)
    with pytest.raises(NotFoundError):
        await world.assets.usage(world.stores.other, profile_id)


async def test_a_page_keeps_no_asset_of_another_profile(world: World, place: str) -> None:
    if not place:
        return  # the twin knows the pages' assets only by their ids
    one, two = await world.profile("one"), await world.profile("two")
    mine, theirs = await world.add(one), await world.add(two)
    assert await world.put(one, 3, [mine, theirs, 5]) == {mine}


async def test_a_profile_has_a_bounded_number_of_assets_and_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, store = world.stores.caller, world.assets
    profile_id = await world.profile()
    monkeypatch.setattr(postgres_assets, "MAX_PROFILE_BYTES", 2_500)
    drafts = [await world.draft(profile_id, content) for content in (b"a", b"b", b"c")]
    for draft in drafts[:2]:
        await store.begin(me, profile_id, draft)
        await store.create(me, profile_id, draft)
    await store.begin(me, profile_id, drafts[2])
    with pytest.raises(ConflictError) as raised:
        await store.create(me, profile_id, drafts[2])
    assert raised.value.field == "assets"
    monkeypatch.setattr(postgres_assets, "MAX_ASSETS", 2)
    with pytest.raises(ConflictError):
        await store.enter(me, profile_id)
