"""Who sees what: row-level security of every table, whatever SQL a role runs."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import trio

from engine.link import LinkDraft
from engine.profile import ProfileDraft
from storage.bridge import in_asyncio
from storage.keys import Keys, OwnerCredentials, ensure_owner, first_owner
from storage.postgres import Connection, Database
from storage.profiles import Profiles
from tests.hosted import hosted_run
from tests.storage.conftest import OpenDatabase, second_owner

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TENANT_TABLES = (
    "users", "api_keys", "profiles", "links", "short_slugs", "removed_links", "profile_changes",
)  # fmt: skip


def sql(query: str, *args: object) -> Callable[[Connection], Awaitable[list[asyncpg.Record]]]:
    async def work(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(query, *args)

    return work


async def filled(app: Database) -> OwnerCredentials:
    """A tenant with a row in every table."""
    owner = await ensure_owner(app, "owner@example.com")
    assert owner is not None
    profiles = Profiles(app)
    profile = await profiles.create_profile(owner.caller, ProfileDraft(handle="demo"))
    for slug in ("a", "b"):
        draft = LinkDraft(slug=slug, target="https://example.com/")
        link, _ = await profiles.create_link(owner.caller, profile.id, draft)
    await profiles.delete_link(owner.caller, link.id)
    return owner


async def test_row_level_security_is_forced_on_every_table(database_url: str) -> None:
    async def work() -> list[str]:
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'waypost'::regnamespace "
                "AND relkind IN ('r', 'p', 'v', 'm') "
                "AND NOT (relrowsecurity AND relforcerowsecurity "
                "AND relowner = 'waypost_owner'::regrole)"
            )
            return [row["relname"] for row in rows]
        finally:
            await connection.close()

    assert await in_asyncio(work) == []


async def test_a_tenant_sees_its_own_rows_only(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    owner = await filled(app)
    other = await second_owner(database_url)
    for table in TENANT_TABLES:
        query = f"SELECT * FROM {table}"
        assert await app.run(sql(query), caller=owner.caller), table
        foreign = await app.run(sql(query), caller=other)
        assert {row["tenant_id"] for row in foreign} <= {other.tenant_id}, table
        assert not await app.run(sql(query)), table
        change = f"UPDATE {table} SET tenant_id = tenant_id RETURNING tenant_id"
        changed = await app.run(sql(change), caller=other)
        assert {row["tenant_id"] for row in changed} <= {other.tenant_id}, table
        gone = await app.run(sql(f"DELETE FROM {table} RETURNING tenant_id"), caller=other)
        assert {row["tenant_id"] for row in gone} <= {other.tenant_id}, table
    assert len(await app.run(sql("SELECT * FROM tenants"), caller=other)) == 1
    assert await app.run(sql("SELECT * FROM tenants")) == []


async def test_nobody_writes_into_another_tenant(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    owner = await filled(app)
    other = await second_owner(database_url)
    insert = "INSERT INTO profiles (tenant_id, handle) VALUES ($1, 'x')"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.run(sql(insert, owner.caller.tenant_id), caller=other)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.run(
            sql("UPDATE profiles SET tenant_id = $1", other.tenant_id), caller=owner.caller
        )
    # Not even a link of one's own under somebody's profile: keys carry the tenant.
    (profile,) = await app.run(sql("SELECT id FROM profiles"), caller=owner.caller)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await app.run(
            sql(
                "INSERT INTO links (tenant_id, profile_id, revision, slug, target) "
                "VALUES ($1, $2, 1, 'x', 'https://example.com/')",
                other.tenant_id,
                profile["id"],
            ),
            caller=other,
        )


async def test_edges_read_what_visitors_may_know(open_database: OpenDatabase) -> None:
    await filled(await open_database("waypost_app"))
    edge = await open_database("waypost_edge")
    for table in ("profiles", "links", "short_slugs", "removed_links", "profile_changes"):
        assert await edge.run(sql(f"SELECT * FROM {table}")), table
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await edge.run(sql(f"DELETE FROM {table}"))
    for table in ("tenants", "users", "api_keys"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await edge.run(sql(f"SELECT * FROM {table}"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await edge.run(sql("SELECT authenticate('\\x00')"))


@pytest.mark.parametrize(
    "target",
    [
        "https://e.com/\r\nSet-Cookie: a=b",
        "https://e.com/\n",
        "",
        "https://é.com",
        "a b",
        "x" * 2049,
    ],
)
async def test_no_target_can_break_a_header(open_database: OpenDatabase, target: str) -> None:
    app = await open_database("waypost_app")
    owner = await filled(app)
    with pytest.raises(asyncpg.CheckViolationError):
        await app.run(sql("UPDATE links SET target = $1", target), caller=owner.caller)


async def test_the_first_owner_is_made_once(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    assert await first_owner(app) is None
    made: list[OwnerCredentials | None] = []

    async def make() -> None:
        made.append(await ensure_owner(app, "owner@example.com"))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(make)
    (owner,) = filter(None, made)
    assert await first_owner(app) == owner.caller
    assert await ensure_owner(app, "other@example.com") is None
    key = await Keys(app).authenticate(owner.api_key)
    assert key is not None
    assert key == owner.caller._replace(key_id=key.key_id)


async def test_nothing_that_opens_doors_is_stored(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    owner = await filled(app)
    users = await app.run(sql("SELECT * FROM users"), caller=owner.caller)
    keys = await app.run(sql("SELECT * FROM api_keys"), caller=owner.caller)
    stored = repr([*users, *keys])
    assert owner.password not in stored
    assert owner.api_key not in stored
    assert users[0]["password_hash"].startswith("$argon2id$")
    assert len(keys[0]["key_sha256"]) == 32
