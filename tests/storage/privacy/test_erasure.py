"""Erasure of a profile: no table has it afterwards, and other profiles are complete."""

from uuid import uuid4

import asyncpg
import pytest

from engine.accounts.access import Caller
from engine.clicks.journal_format import clicks as decoded
from engine.common.errors import ForbiddenError, LostUpdateError, NotFoundError, WaypostError
from engine.links.link import LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileDraft
from engine.privacy.erasure import FIRST_SWEEP_AFTER_S, SWEEP_INTERVALS_S
from engine.privacy.ports import ErasureStore
from storage.accounts.keys import ensure_owner
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.stream import RedisClickStream, stream_key
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.pages.subscribers import PostgresSubscriptions
from storage.postgres.database import Connection, Database
from storage.privacy.erasure import Eraser, PostgresErasureStore, owner_of
from storage.privacy.memory_erasure import MemoryErasureStore
from storage.redis.client import RedisServer
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stats_database import days_with_deltas
from tests.kit.stores import FAST, OpenDatabase, Stores

pytestmark = pytest.mark.trio(run=hosted_run)


@pytest.fixture
async def erasures(stores: Stores, place: str, open_role: OpenDatabase) -> ErasureStore:
    if isinstance(stores.profiles, MemoryProfiles):
        return MemoryErasureStore(stores.profiles)
    return PostgresErasureStore(await open_role("waypost_app"))


@pytest.fixture
def open_role(request: pytest.FixtureRequest, place: str) -> OpenDatabase | None:
    return request.getfixturevalue("open_database") if place else None


async def profile_with_link(store: ProfileStore, caller: Caller, handle: str) -> Profile:
    profile = await store.create_profile(caller, ProfileDraft(handle=handle, title=f"of {handle}"))
    draft = LinkDraft(slug=f"{handle}-link", target=f"https://{handle}.example/")
    await store.create_link(caller, profile.id, draft)
    return await store.profile(caller, profile.id)


async def test_an_erasure_deletes_the_profile(stores: Stores, erasures: ErasureStore) -> None:
    profile = await profile_with_link(stores.profiles, stores.caller, "gone")
    with pytest.raises(NotFoundError):
        await erasures.erase(stores.other, profile.id)
    with pytest.raises(ForbiddenError):
        await erasures.erase(stores.caller._replace(scopes=("read", "write")), profile.id)
    with pytest.raises(LostUpdateError):
        await erasures.erase(stores.caller, profile.id, profile.version + 1)
    change = await erasures.erase(stores.caller, profile.id, profile.version)
    assert (change.profile_id, change.deleted) == (profile.id, True)
    with pytest.raises(NotFoundError):
        await stores.profiles.profile(stores.caller, profile.id)
    with pytest.raises(NotFoundError):
        await erasures.erase(stores.caller, profile.id)
    page = await erasures.list_erasures(stores.caller, 0, 10)
    assert [(erasure.profile_id, erasure.sweeps, erasure.finished) for erasure in page.items] == [
        (profile.id, 0, False)
    ]
    assert (await erasures.list_erasures(stores.other, 0, 10)).items == []
    assert (await erasures.list_erasures(stores.caller, profile.id, 10)).items == []


async def tables_with(
    connection: "asyncpg.Connection[asyncpg.Record]", words: list[str]
) -> set[str]:
    """Return the tables with a row that has one of the words in any column."""
    tables = await connection.fetch(
        "SELECT c.oid::regclass::text FROM pg_class AS c "
        "WHERE relnamespace = 'waypost'::regnamespace AND relkind = 'r'"
    )
    hits = set()
    for (table,) in tables:
        pattern = "|".join(words)
        if await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} AS t WHERE t::text ~ $1 "
            f"OR to_jsonb(t)::text ~ $1)",
            pattern,
        ):
            hits.add(table)
    return hits


async def count_clicks(database: Database, profile: Profile) -> None:
    """Fold and pack two clicks of the profile, fold two more, and add the counts of a hot day."""
    ledger = PostgresClickLedger(database)
    journal = uuid4()
    await ledger.register(journal)
    (lease,) = [p for p in await ledger.lease("one", 99, 60) if p.journal_id == journal]
    clicks = [
        click(
            7,
            tenant_id=profile.tenant_id,
            profile_id=profile.id,
            referrer=f"http://{profile.handle}.example/".encode(),
        )
        for _ in range(2)
    ]
    lease = await ledger.commit(lease, [batch(1, clicks)])
    days = [day for day in await days_with_deltas(database) if day.profile_id == profile.id]
    await settle(database, days, pack_few=True)
    await ledger.commit(lease, [batch(3, clicks)])
    await ledger.release("one")

    async def more(connection: Connection) -> None:
        of = (profile.tenant_id, profile.id)
        for table in ("dimension_counts", "dimension_days", "dimension_months"):
            await connection.execute(
                f"INSERT INTO {table} VALUES ($1, $2, -1, 1, '2026-05-01', 'DE', 1)", *of
            )
        await connection.execute("INSERT INTO rollups VALUES ($1, $2, 7, '2026-05-01', 1)", *of)

    await database.transaction(more)


async def leave_addresses(database: Database, profile: Profile) -> None:
    """Enter two addresses into forms of the profile's page, of which one is to be confirmed."""
    visitors, key = PostgresSubscriptions(database), (profile.tenant_id, profile.id)
    assert await visitors.subscribe(*key, "b1", f"{profile.handle}@example.com")
    assert await visitors.request(*key, "b1", f"{profile.handle}-2@example.com") == "waiting"


async def add_dead_letters(database: Database, erased: Profile, other: Profile) -> None:
    """Add three dead letters: clicks of both profiles, of the erased one alone, and an unreadable batch."""
    ledger, journal = PostgresClickLedger(database), uuid4()
    await ledger.register(journal)
    (lease,) = [p for p in await ledger.lease("one", 99, 60) if p.journal_id == journal]
    erased_click, other_click = (
        click(7, tenant_id=one.tenant_id, profile_id=one.id, referrer=one.handle.encode())
        for one in (erased, other)
    )
    broken = batch(5, [erased_click])
    for one in (
        batch(1, [erased_click, other_click, erased_click]),
        batch(4, [erased_click]),
        broken._replace(payload=broken.payload[:-1]),
    ):
        lease = await ledger.dead_letter(lease, one, "poison")
    await ledger.release("one")


@pytest.mark.slow
async def test_an_erased_profile_leaves_nothing_and_others_stay_whole(
    database_url: str, open_database: OpenDatabase, redis_url: str
) -> None:
    app = await open_database("waypost_app")
    worker = await open_database("waypost_aggregator")
    redis = await RedisServer.open(redis_url, size=2)
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles, caller = PostgresProfileStore(app), owner.caller
    gone = await profile_with_link(profiles, caller, "gone")
    kept = await profile_with_link(profiles, caller, "kept")
    edge = await open_database("waypost_edge")
    for profile in (gone, kept):
        await count_clicks(worker, profile)
        await leave_addresses(edge, profile)
    eraser = Eraser(worker, redis)
    assert await owner_of(worker, "nobody") is None
    owned = await owner_of(worker, "gone")
    assert owned is not None
    assert (owned.tenant_id, owned.profile_id) == (gone.tenant_id, gone.id)
    with pytest.raises(WaypostError, match="cannot be erased"):
        await eraser.sweep(gone.tenant_id, gone.id, everything=True)

    await add_dead_letters(worker, gone, kept)
    journal = uuid4()
    stream = RedisClickStream(redis)
    assert await stream.add(journal, 0, batch(1, [click(profile_id=gone.id)]))

    connection = await in_asyncio(asyncpg.connect, database_url)
    try:
        words = [str(gone.id), "gone"]
        tables = await in_asyncio(tables_with, connection, words)
        assert {
            "audit_log", "clicks_default", "click_deltas", "click_segments", "profile_days",
            "dimension_counts", "dimension_days", "dimension_months", "rollups", "links",
            "page_subscribers", "subscription_requests", "jobs",
        } <= tables  # fmt: skip
        await PostgresErasureStore(app).erase(owned.caller, gone.id)
        await in_asyncio(
            connection.execute,
            "UPDATE waypost.erasures SET requested_at = requested_at - make_interval(secs => $1)",
            FIRST_SWEEP_AFTER_S,
        )
        before = await in_asyncio(tables_with, connection, [str(kept.id), "kept"])
        await eraser.sweep_due()
        assert await in_asyncio(tables_with, connection, words) == {
            "audit_log", "erasures", "profile_changes",
        }  # fmt: skip
        await eraser.sweep_due()  # the next sweep is not due yet
        (erasure,) = (await PostgresErasureStore(app).list_erasures(caller, 0, 10)).items
        assert erasure.sweeps == 1
        assert erasure.rows >= 8
        await count_clicks(worker, gone)  # clicks that arrive late
        for _ in SWEEP_INTERVALS_S:
            await in_asyncio(
                connection.execute,
                "UPDATE waypost.erasures SET swept_at = swept_at - interval '8 days'",
            )
            await eraser.sweep_due()
        (erasure,) = (await PostgresErasureStore(app).list_erasures(caller, 0, 10)).items
        assert erasure.finished
        # The records of the erasure hold ids only.
        assert await in_asyncio(tables_with, connection, ["gone"]) == set()
        assert await in_asyncio(tables_with, connection, [str(gone.id)]) == {
            "audit_log",
            "erasures",
        }
        assert await in_asyncio(tables_with, connection, [str(kept.id), "kept"]) == before
        assert await redis.run(redis.commands.exists, stream_key(journal)) == 0
        rows = await in_asyncio(connection.fetch, "SELECT payload FROM waypost.dead_letter_batches")
        ((remaining,),) = [list(decoded(row["payload"])) for row in rows]
        assert (remaining.profile_id, remaining.referrer) == (kept.id, b"kept")
    finally:
        await in_asyncio(connection.close)
        await redis.close()


@pytest.mark.slow
async def test_the_log_of_an_existing_profile_cannot_be_erased(
    open_database: OpenDatabase,
) -> None:
    app = await open_database("waypost_app")
    worker = await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    kept = await profile_with_link(PostgresProfileStore(app), owner.caller, "kept")

    async def work(connection: Connection) -> None:
        await connection.execute("DELETE FROM audit_log WHERE profile_id = $1", kept.id)

    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
        await worker.transaction(work)
