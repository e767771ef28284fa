"""Shares: created, found by their tokens, revoked and logged; in memory and in Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import pytest

from engine.accounts.api_key import KeyDraft
from engine.common.errors import ConflictError, ExpiredError, NotFoundError
from engine.links.profile import ProfileDraft
from engine.stats.dashboards.ports import ShareStore
from engine.stats.dashboards.share import ShareDraft, SharePeriod
from storage.accounts.keys import ensure_owner
from storage.bridge import in_asyncio
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.stats.dashboards.memory_shares import MemoryShareStore
from storage.stats.dashboards.shares import PostgresShareStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)

DRAFT = ShareDraft(
    label="client",
    metrics=["clicks", "revenue"],
    dimensions=["country"],
    period=SharePeriod(from_=datetime(2026, 3, 1, tzinfo=UTC)),
    origins=["https://client.example"],
)


class Sharing(NamedTuple):
    """A store of shares, and the stores of their profiles."""

    store: ShareStore
    stores: Stores


@pytest.fixture
async def sharing(place: str, stores: Stores) -> AsyncIterator[Sharing]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        yield Sharing(MemoryShareStore(stores.profiles), stores)
        return
    async with opened(place) as open_database:
        yield Sharing(PostgresShareStore(await open_database("waypost_app")), stores)


async def test_shares_are_made_found_and_revoked(sharing: Sharing) -> None:
    store, me, them = sharing.store, sharing.stores.caller, sharing.stores.other
    profile = await sharing.stores.profiles.create_profile(me, ProfileDraft(handle="ada"))
    share, token = await store.create_share(me, profile.id, DRAFT)
    assert token.startswith("wpr_")
    assert token.startswith(share.prefix)
    assert (share.metrics, share.dimensions, share.period, share.origins) == (
        ("clicks", "revenue"), ("country",), DRAFT.period, ("https://client.example",),
    )  # fmt: skip
    assert await store.list_shares(me, profile.id, 0, 10) == ([share], None)
    assert await store.share_of(token) == (share, profile)
    for unknown in (token + "x", "wpr_", "wpr_ü"):
        assert await store.share_of(unknown) is None
    for call in (store.list_shares(them, profile.id, 0, 10),
                 store.create_share(them, profile.id, DRAFT),
                 store.revoke_share(them, profile.id, share.id),
                 store.revoke_share(me, profile.id, share.id + 1)):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    await store.revoke_share(me, profile.id, share.id)
    assert await store.share_of(token) is None


async def test_an_expired_share_is_listed_and_reads_nothing(sharing: Sharing) -> None:
    store, me = sharing.store, sharing.stores.caller
    profile = await sharing.stores.profiles.create_profile(me, ProfileDraft(handle="ada"))
    ended = ShareDraft(
        label="client", metrics=["clicks"], expires_at=datetime.now(UTC) - timedelta(hours=1)
    )
    share, token = await store.create_share(me, profile.id, ended)
    with pytest.raises(ExpiredError):
        await store.share_of(token)
    assert (await store.list_shares(me, profile.id, 0, 10)).items == [share]


async def test_an_origin_is_allowed_by_shares_and_keys_that_work(sharing: Sharing) -> None:
    store, me, keys = sharing.store, sharing.stores.caller, sharing.stores.keys
    profile = await sharing.stores.profiles.create_profile(me, ProfileDraft(handle="ada"))
    share, _ = await store.create_share(me, profile.id, DRAFT)
    app = "https://app.example"
    new_key = await keys.create_key(me, KeyDraft(label="app", scopes=["read"], origins=[app]))
    caller = await keys.authenticate(new_key.text)
    assert caller is not None
    assert caller.origins == new_key.key.origins == (app,)
    assert await store.allows_origin("https://client.example")
    assert await keys.allows_origin(app)
    for origin in (app, "https://client.example.evil", ""):
        assert not await store.allows_origin(origin)
    assert not await keys.allows_origin("https://client.example")
    await store.revoke_share(me, profile.id, share.id)
    await keys.revoke_key(me, new_key.key.id)
    assert not await store.allows_origin("https://client.example")
    assert not await keys.allows_origin(app)


async def test_a_profile_has_a_bounded_number_of_shares_and_takes_them_with_it(
    sharing: Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("shares", "memory_shares"):
        monkeypatch.setattr(f"storage.stats.dashboards.{module}.MAX_SHARES", 2)
    store, me = sharing.store, sharing.stores.caller
    profile = await sharing.stores.profiles.create_profile(me, ProfileDraft(handle="ada"))
    (first, _), (_, token) = [await store.create_share(me, profile.id, DRAFT) for _ in range(2)]
    with pytest.raises(ConflictError, match="at most"):
        await store.create_share(me, profile.id, DRAFT)
    await store.revoke_share(me, profile.id, first.id)
    await store.create_share(me, profile.id, DRAFT)
    await sharing.stores.profiles.delete_profile(me, profile.id)
    assert await store.share_of(token) is None


@pytest.mark.slow
async def test_the_log_tells_of_a_share_and_not_its_token(database_url: str) -> None:
    async with opened(database_url) as open_role:
        app = await open_role("waypost_app")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        profile = await PostgresProfileStore(app).create_profile(
            owner.caller, ProfileDraft(handle="ada")
        )
        store = PostgresShareStore(app)
        share, token = await store.create_share(owner.caller, profile.id, DRAFT)
        await store.revoke_share(owner.caller, profile.id, share.id)

        async def ask() -> list[str]:
            connection = await asyncpg.connect(database_url)
            try:
                rows = await connection.fetch(
                    "SELECT a::text FROM waypost.audit_log AS a WHERE object_type = 'share' ORDER BY seq"
                )
            finally:
                await connection.close()
            return [row[0] for row in rows]

        created, deleted = await in_asyncio(ask)
        assert "share.created" in created
        assert "https://client.example" in created
        assert "share.deleted" in deleted
        assert token not in created + deleted
        assert "token_sha256" not in created + deleted
