"""Rights of the four roles: each lack is one line with the SQL that mends it, and that SQL does mend it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from storage.bridge import in_asyncio
from storage.operations.rights import ROLES, Flaw, find_flaws, flaws_of, needed_rights
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)

BREAKAGES = {
    "ALTER ROLE waypost_aggregator NOBYPASSRLS": "role waypost_aggregator lacks BYPASSRLS",
    "ALTER ROLE waypost_app BYPASSRLS": "role waypost_app has BYPASSRLS",
    "ALTER ROLE waypost_edge SUPERUSER": "role waypost_edge is a superuser",
    "GRANT waypost_aggregator TO waypost_app": "role waypost_app may act as waypost_aggregator",
    "REVOKE USAGE ON SCHEMA waypost FROM waypost_edge": "lacks USAGE on schema waypost",
    "REVOKE INSERT ON waypost.clicks FROM waypost_aggregator": "lacks INSERT on table waypost.clicks",
    "REVOKE USAGE ON SEQUENCE waypost.ids FROM waypost_app": "lacks USAGE on sequence waypost.ids",
    "REVOKE EXECUTE ON FUNCTION waypost.first_owner() FROM waypost_app":
        "lacks EXECUTE on function waypost.first_owner()",
    "REVOKE SELECT (tenant_id) ON waypost.audit_log FROM waypost_aggregator":
        "lacks SELECT (tenant_id) on table waypost.audit_log",
    "ALTER TABLE waypost.journals OWNER TO CURRENT_USER": "does not own table waypost.journals",
    "ALTER FUNCTION waypost.first_owner() OWNER TO CURRENT_USER":
        "does not own function waypost.first_owner()",
    "ALTER SCHEMA waypost OWNER TO CURRENT_USER": "does not own schema waypost",
    "ALTER TABLE waypost.links DISABLE ROW LEVEL SECURITY": "is not bound by policies on waypost.links",
    "ALTER TABLE waypost.links NO FORCE ROW LEVEL SECURITY": "is not bound by policies on waypost.links",
}  # fmt: skip


@asynccontextmanager
async def undone(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Yield a connection with a transaction that is rolled back: roles belong to the whole server."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def test_a_migrated_database_has_every_right(database_url: str) -> None:
    rights = needed_rights()
    assert {right.role for right in rights} == {"waypost_app", "waypost_edge", "waypost_aggregator"}
    assert {right.kind for right in rights} == {"SCHEMA", "TABLE", "SEQUENCE", "FUNCTION"}
    assert len(rights) > 150
    assert await find_flaws(database_url) == []


async def test_each_flaw_is_named_with_the_sql_that_mends_it(database_url: str) -> None:
    async def flaws_after(breakage: str) -> tuple[list[Flaw], list[Flaw]]:
        """Return the flaws after a statement, and those left after the SQL of each."""
        async with undone(database_url) as connection:
            await connection.execute(breakage)
            flaws = await flaws_of(connection, ROLES)
            for flaw in flaws:
                await connection.execute(flaw.sql.removesuffix(" as an administrator"))
            return flaws, await flaws_of(connection, ROLES)

    for breakage, expected in BREAKAGES.items():
        flaws, left = await in_asyncio(flaws_after, breakage)
        assert any(expected in str(flaw) for flaw in flaws), (breakage, flaws)
        assert all("\n" not in str(flaw) for flaw in flaws)
        assert left == [], breakage


async def test_a_login_user_without_a_role_is_named(database_url: str) -> None:
    async def run() -> list[Flaw]:
        async with undone(database_url) as connection:
            await connection.execute("CREATE ROLE waypost_test_login")
            await connection.execute("SET SESSION AUTHORIZATION waypost_test_login")
            return await flaws_of(connection, ("waypost_edge",))

    (flaw,) = await in_asyncio(run)
    assert re.fullmatch(
        "role waypost_edge is not granted to the user of DATABASE_URL: run GRANT .*", str(flaw)
    )


async def test_the_roles_of_another_machine_are_not_looked_at(database_url: str) -> None:
    async def run() -> list[Flaw]:
        async with undone(database_url) as connection:
            await connection.execute("ALTER ROLE waypost_aggregator NOBYPASSRLS")
            return await flaws_of(connection, ("waypost_edge",))

    assert await in_asyncio(run) == []
