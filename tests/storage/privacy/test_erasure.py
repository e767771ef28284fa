"""Erasing a profile: nothing of it is found in any table afterwards, and nothing of others is missing."""

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
from storage.postgres.database import Connection, Database
from storage.privacy.erasure import Eraser, PostgresErasureStore, owner_of
from storage.privacy.memory_erasure import MemoryErasureStore
from storage.redis.client import RedisServer
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
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


async def made(store: ProfileStore, caller: Caller, handle: str) -> Profile:
    profile = await store.create_profile(caller, ProfileDraft(handle=handle, title=f"of {handle}"))
    draft = LinkDraft(slug=f"{handle}-link", target=f"https://{handle}.example/")
    await store.create_link(caller, profile.id, draft)
    return await store.profile(caller, profile.id)


async def test_who_erases_a_profile_has_it_deleted(stores: Stores, erasures: ErasureStore) -> None:
    profile = await made(stores.profiles, stores.caller, "gone")
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
    assert [(one.profile_id, one.sweeps, one.finished) for one in page.items] == [
        (profile.id, 0, False)
    ]
    assert (await erasures.list_erasures(stores.other, 0, 10)).items == []
    assert (await erasures.list_erasures(stores.caller, profile.id, 10)).items == []


async def found(connection: "asyncpg.Connection[asyncpg.Record]", words: list[str]) -> set[str]:
    """The tables that have a row with one of the words in it, anywhere."""
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


async def counted(database: Database, profile: Profile) -> None:
    """Two clicks of it, and whatever else the workers write."""
    ledger = PostgresClickLedger(database)
    journal = uuid4()
    await ledger.register(journal)
    (position,) = [p for p in await ledger.lease("one", 99, 60) if p.journal_id == journal]
    clicks = [
        click(
            7,
            tenant_id=profile.tenant_id,
            profile_id=profile.id,
            referrer=f"http://{profile.handle}.example/".encode(),
        )
        for _ in range(2)
    ]
    await ledger.commit(position, [batch(1, clicks)])
    await ledger.release("one")

    async def more(connection: Connection) -> None:
        for table in ("dimension_counts", "dimension_days", "dimension_months"):
            when = "'2026-05-01'"
            await connection.execute(
                f"INSERT INTO {table} VALUES ($1, $2, -1, 1, {when}, 'DE', 1)",
                profile.tenant_id,
                profile.id,
            )

    await database.transaction(more)


async def set_aside(database: Database, gone: Profile, kept: Profile) -> None:
    """Batches that cannot be folded: one of both, one of the first alone, one that cannot be read."""
    ledger, journal = PostgresClickLedger(database), uuid4()
    await ledger.register(journal)
    (position,) = [p for p in await ledger.lease("one", 99, 60) if p.journal_id == journal]
    of_gone, of_kept = (
        click(7, tenant_id=one.tenant_id, profile_id=one.id, referrer=one.handle.encode())
        for one in (gone, kept)
    )
    broken = batch(5, [of_gone])
    for one in (
        batch(1, [of_gone, of_kept, of_gone]),
        batch(4, [of_gone]),
        broken._replace(payload=broken.payload[:-1]),
    ):
        position = await ledger.dead_letter(position, one, "poison")
    await ledger.release("one")


@pytest.mark.slow
async def test_nothing_is_found_of_it_and_all_of_others(
    database_url: str, open_database: OpenDatabase, redis_url: str
) -> None:
    app = await open_database("waypost_app")
    worker = await open_database("waypost_aggregator")
    redis = await RedisServer.open(redis_url, size=2)
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles, caller = PostgresProfileStore(app), owner.caller
    gone = await made(profiles, caller, "gone")
    kept = await made(profiles, caller, "kept")
    for profile in (gone, kept):
        await counted(worker, profile)
    eraser = Eraser(worker, redis)
    assert await owner_of(worker, "nobody") is None
    whose = await owner_of(worker, "gone")
    assert whose is not None
    assert (whose.tenant_id, whose.profile_id) == (gone.tenant_id, gone.id)
    with pytest.raises(WaypostError, match="cannot be erased"):
        await eraser.sweep(gone.tenant_id, gone.id, everything=True)

    await set_aside(worker, gone, kept)
    journal = uuid4()
    stream = RedisClickStream(redis)
    assert await stream.add(journal, 0, batch(1, [click(profile_id=gone.id)]))

    connection = await in_asyncio(asyncpg.connect, database_url)
    try:
        words = [str(gone.id), "gone"]
        here = await in_asyncio(found, connection, words)
        assert {"audit_log", "clicks_default", "dimension_days", "rollups", "links"} <= here
        await PostgresErasureStore(app).erase(whose.caller, gone.id)
        await in_asyncio(
            connection.execute,
            "UPDATE waypost.erasures SET requested_at = requested_at - make_interval(secs => $1)",
            FIRST_SWEEP_AFTER_S,
        )
        before = await in_asyncio(found, connection, [str(kept.id), "kept"])
        await eraser.sweep_due()
        assert await in_asyncio(found, connection, words) == {
            "audit_log", "erasures", "profile_changes",
        }  # fmt: skip
        await eraser.sweep_due()  # it is not time for the next one
        (erasure,) = (await PostgresErasureStore(app).list_erasures(caller, 0, 10)).items
        assert erasure.sweeps == 1
        assert erasure.rows >= 8
        await counted(worker, gone)  # late
        for _ in SWEEP_INTERVALS_S:
            await in_asyncio(
                connection.execute,
                "UPDATE waypost.erasures SET swept_at = swept_at - interval '8 days'",
            )
            await eraser.sweep_due()
        (erasure,) = (await PostgresErasureStore(app).list_erasures(caller, 0, 10)).items
        assert erasure.finished
        # That it was erased, by numbers alone.
        assert await in_asyncio(found, connection, ["gone"]) == set()
        assert await in_asyncio(found, connection, [str(gone.id)]) == {"audit_log", "erasures"}
        assert await in_asyncio(found, connection, [str(kept.id), "kept"]) == before
        assert await redis.run(redis.commands.exists, stream_key(journal)) == 0
        rows = await in_asyncio(connection.fetch, "SELECT payload FROM waypost.dead_letter_batches")
        ((left,),) = [list(decoded(row["payload"])) for row in rows]
        assert (left.profile_id, left.referrer) == (kept.id, b"kept")
    finally:
        await in_asyncio(connection.close)
        await redis.close()


@pytest.mark.slow
async def test_the_log_of_a_profile_that_stays_cannot_be_erased(
    open_database: OpenDatabase,
) -> None:
    app = await open_database("waypost_app")
    worker = await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    kept = await made(PostgresProfileStore(app), owner.caller, "kept")

    async def work(connection: Connection) -> None:
        await connection.execute("DELETE FROM audit_log WHERE profile_id = $1", kept.id)

    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
        await worker.transaction(work)
