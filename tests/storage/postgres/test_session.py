"""Through PgBouncer in transaction mode: the engine's transactions leave nothing behind in a session.

Every client shares one server connection, so whatever a transaction left there would meet the next one.
"""

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import trio

from bench.servers import pgbouncer
from bench.servers.pgbouncer import PgBouncer
from engine.common.errors import NotFoundError, UnavailableError
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange
from engine.links.profile import ProfileDraft
from engine.operations.backup import BackupError
from storage.accounts.keys import ensure_owner
from storage.audit.verification import verify
from storage.bridge import in_asyncio
from storage.links.profiles import PostgresProfileStore
from storage.migrations import migrate, pending
from storage.operations.backup_snapshot import BackupSnapshot
from storage.operations.restore_servers import target_database
from storage.postgres.database import Connection, Role
from tests.conftest import Servers
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, opened, second_owner

pytestmark = [
    pytest.mark.trio(run=hosted_run),
    pytest.mark.slow,
    pytest.mark.skipif(
        not pgbouncer.program(), reason="needs pgbouncer: apt-get install pgbouncer"
    ),
]

# What a session keeps beyond a transaction: settings, prepared statements, cursors, channels, locks.
SESSION_STATE = """SELECT current_user::text, current_setting('search_path'),
    current_setting('statement_timeout'), coalesce(current_setting('waypost.tenant', true), ''),
    coalesce(current_setting('waypost.user', true), ''), coalesce(current_setting('waypost.key', true), ''),
    coalesce(current_setting('waypost.request', true), ''),
    (SELECT count(*) FROM pg_prepared_statements WHERE name <> ''),
    (SELECT count(*) FROM pg_cursors WHERE name <> ''), (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"""


@pytest.fixture(scope="module")
def pooler(servers: Servers) -> Iterator[PgBouncer]:
    with PgBouncer(servers.database_url, default_pool_size="1", query_wait_timeout="5") as pooler:
        yield pooler


@pytest.fixture
def pooled_url(pooler: PgBouncer, database_url: str) -> str:
    """Return the URL of this test's database through the pooler, which has one connection to it."""
    return pooler.through(database_url)


@pytest.fixture
async def open_pooled(pooled_url: str) -> AsyncIterator[OpenDatabase]:
    async with opened(pooled_url) as open_role:
        yield open_role


async def session_state(url: str) -> tuple[Any, ...]:
    """Return the state of the pooler's one server connection, outside of any transaction of the engine."""

    async def read() -> tuple[Any, ...]:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            row = await connection.fetchrow(SESSION_STATE)
            return tuple(row or ())
        finally:
            await connection.close()

    return await in_asyncio(read)


async def test_no_tenant_reaches_the_next_transaction_of_a_server_connection(
    open_pooled: OpenDatabase, pooled_url: str, database_url: str
) -> None:
    before = await session_state(pooled_url)
    app = await open_pooled("waypost_app", size=8)
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    callers = [owner.caller, await second_owner(database_url)]
    store, dice = PostgresProfileStore(app), random.Random(13)
    mine = [
        await store.create_profile(caller, ProfileDraft(handle=f"of-{caller.tenant_id}", title="t"))
        for caller in callers
    ]

    async def visit(number: int) -> None:
        which = number % 2
        caller, own, other = callers[which], mine[which], mine[1 - which]
        page = await store.list_profiles(caller, 0, 10)
        assert [profile.id for profile in page.items] == [own.id]
        with pytest.raises(NotFoundError):
            await store.profile(caller, other.id)
        with pytest.raises(NotFoundError):
            await store.create_link(caller, other.id, LinkDraft(slug="x", target="https://x.y/"))

    async def fail(number: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute("SELECT 1 / 0" if number % 2 else "SELECT pg_sleep(5)")

        with trio.move_on_after(0.02), pytest.raises(asyncpg.DivisionByZeroError):
            await app.transaction(work, caller=callers[dice.randrange(2)])

    async def without_a_caller(_: int) -> None:
        async def work(connection: Connection) -> int:
            count: int = await connection.fetchval("SELECT count(*) FROM profiles")
            return count

        assert await app.transaction(work) == 0

    jobs = [visit] * 24 + [fail] * 8 + [without_a_caller] * 8
    dice.shuffle(jobs)
    async with trio.open_nursery() as nursery:
        for number, job in enumerate(jobs):
            nursery.start_soon(job, number)
    assert await session_state(pooled_url) == before


async def test_each_role_has_its_own_rights_behind_one_connection(
    open_pooled: OpenDatabase, pooled_url: str
) -> None:
    roles: list[Role] = ["waypost_app", "waypost_edge", "waypost_aggregator"]
    databases = {role: await open_pooled(role, query_timeout_ms=4321) for role in roles}

    async def work(connection: Connection) -> tuple[Any, ...]:
        row = await connection.fetchrow(
            "SELECT current_user, current_setting('search_path'), current_setting('statement_timeout'), "
            "current_setting('timezone'), current_setting('application_name')"
        )
        return tuple(row or ())

    for role in roles * 2:
        expected = (role, "waypost", "4321ms", "UTC", "waypost")
        assert await databases[role].transaction(work) == expected
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await databases["waypost_edge"].transaction(
            lambda connection: connection.execute("DELETE FROM links")
        )


async def test_snapshots_savepoints_and_copy_leave_nothing_behind(
    open_pooled: OpenDatabase, pooled_url: str
) -> None:
    before = await session_state(pooled_url)
    app = await open_pooled("waypost_app")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    caller = owner.caller
    for _ in range(2):
        async with app.snapshot(caller) as reader:
            query = "SELECT n, $2::bigint[] FROM generate_series(1, $1) AS n"
            sizes = [len(rows) async for rows in reader.rows(query, 2_500, [1])]
        assert sizes == [1_000, 1_000, 500]
        # Before the client's next statement, which would close a named one.
        assert await session_state(pooled_url) == before
    store = PostgresProfileStore(app)
    profile = await store.create_profile(caller, ProfileDraft(handle="ada", title="Ada"))
    results, _ = await store.change_links(caller, profile.id, [new("a"), new("a"), new("b")])
    assert [result.error is None for result in results] == [True, False, True]

    async def copy(connection: Connection) -> Any:
        await connection.copy_to_table(
            "user_agents", source=_one_row(), columns=("id", "text"), format="text"
        )
        return await connection.fetchval("SELECT count(*) FROM user_agents")

    aggregator = await open_pooled("waypost_aggregator")
    assert await aggregator.transaction(copy) == 1
    assert await session_state(pooled_url) == before


async def _one_row() -> AsyncIterator[bytes]:
    yield b"1\tx\n"


def new(slug: str) -> LinkChange:
    def draft(_: Link | None) -> LinkDraft:
        return LinkDraft(slug=slug, target="https://example.com/")

    return LinkChange("create", draft)


async def test_migrations_and_the_audit_need_no_session(
    servers: Servers, bare_database_url: str
) -> None:
    """Migrating takes two connections, as its lock is a transaction's."""
    with PgBouncer(servers.database_url, default_pool_size="2") as pooler:
        url = pooler.through(bare_database_url)
        assert await migrate(url)
        assert await pending(url) == []
        assert await migrate(url) == []
        assert (await verify(url)).broken == ""
        assert (await session_state(url))[7:] == (0, 0, 0, 0)


async def test_a_backup_names_the_setting_that_bypasses_a_pooler(
    pooled_url: str, database_url: str
) -> None:
    with pytest.raises(BackupError, match="WAYPOST_DATABASE_DIRECT_URL"):
        await BackupSnapshot.open(pooled_url)
    with pytest.raises(BackupError, match="WAYPOST_DATABASE_DIRECT_URL"):
        await target_database(pooled_url)
    snapshot = await BackupSnapshot.open(database_url)
    await snapshot.close()


async def test_a_pooler_that_restarts_is_used_again(
    pooler: PgBouncer, open_pooled: OpenDatabase
) -> None:
    app = await open_pooled("waypost_app")

    async def work(connection: Connection) -> int:
        number: int = await connection.fetchval("SELECT 1")
        return number

    assert await app.transaction(work) == 1
    pooler.kill()
    with trio.fail_after(5), pytest.raises(UnavailableError):
        await app.transaction(work)
    pooler.start()
    assert await app.transaction(work) == 1
